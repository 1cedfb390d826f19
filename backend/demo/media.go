package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"strings"

	"parley/backend/chat"
)

// media is the pool of files that messages point to: few, small and real.
type media struct {
	all                    []File
	images, voices, papers []chat.Part
	invoices               []chat.Part
}

const (
	photoCount   = 12
	voiceCount   = 8
	voiceRate    = 8000 // samples a second, 8 bit
	invoiceCount = 6
	peakCount    = 64
)

func newMedia(r *rand.Rand) *media {
	m := &media{}
	for i := range photoCount {
		w, h := 240+r.IntN(4)*40, 160+r.IntN(4)*40
		var buf bytes.Buffer
		img := photo(r, w, h)
		name, typ := fmt.Sprintf("photo-%02d.png", i+1), "image/png"
		var err error
		if i%2 == 0 {
			err = png.Encode(&buf, img)
		} else {
			name, typ = fmt.Sprintf("IMG_%04d.jpg", 1200+r.IntN(8000)), "image/jpeg"
			err = jpeg.Encode(&buf, img, &jpeg.Options{Quality: 70})
		}
		if err != nil { // a buffer in memory takes everything
			panic(fmt.Sprintf("demo: encode picture: %v", err))
		}
		part := m.add(chat.PartImage, name, typ, buf.Bytes())
		part.Width, part.Height = w, h
		m.images = append(m.images, part)
	}
	for i := range voiceCount {
		data, peaks := voice(r, 1.5+r.Float64()*4)
		part := m.add(chat.PartVoice, fmt.Sprintf("voice-%02d.wav", i+1), "audio/wave", data)
		part.DurationMS = int64(len(data)-wavHeader) * 1000 / voiceRate
		part.Peaks = peaks
		m.voices = append(m.voices, part)
	}
	for range invoiceCount {
		n := 10_000 + r.IntN(90_000)
		data := pdf(fmt.Sprintf("Invoice %d", n), fmt.Sprintf("Northwind Coffee - total %d.%02d EUR", 10+r.IntN(200), r.IntN(100)))
		m.invoices = append(m.invoices, m.add(chat.PartFile, fmt.Sprintf("invoice-%d.pdf", n), "application/pdf", data))
	}
	for _, t := range []struct{ name, text string }{
		{"briefing.txt", "Briefing\n\nGoal: ten posts before the season starts.\nTone: warm, plain, never loud.\n"},
		{"адреса.txt", "Рига, ул. Бривибас 12\nБерлин, Torstraße 7\n"},
		{"order list.csv", "order,item,quantity\nNW-10422,Yirgacheffe 250 g,4\nNW-10423,Moka pot,1\n"},
	} {
		m.papers = append(m.papers, m.add(chat.PartFile, t.name, "text/plain; charset=utf-8", []byte(t.text)))
	}
	return m
}

// add keeps content and gives the part that points to it.
func (m *media) add(kind chat.PartKind, name, typ string, data []byte) chat.Part {
	sum := sha256.Sum256(data)
	f := File{File: chat.File{SHA256: hex.EncodeToString(sum[:]), Name: name, Type: typ, Size: int64(len(data))}, Data: data}
	m.all = append(m.all, f)
	return chat.Part{Kind: kind, SHA256: f.SHA256, Name: name, Type: typ, Size: f.Size}
}

// photo paints a cup on a table in some light.
func photo(r *rand.Rand, w, h int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	a := color.RGBA{uint8(120 + r.IntN(120)), uint8(110 + r.IntN(100)), uint8(90 + r.IntN(120)), 255}
	cx, cy, rad := w/2+r.IntN(40)-20, h/2+r.IntN(20)-10, float64(h)/3.4
	for y := range h {
		shade := 0.55 + 0.45*float64(y)/float64(h)
		table := color.RGBA{uint8(float64(a.R) * shade), uint8(float64(a.G) * shade), uint8(float64(a.B) * shade), 255}
		row := img.Pix[y*img.Stride:][:4*w]
		for x := range w {
			c := table
			if dx, dy := float64(x-cx), float64(y-cy); math.Abs(dx) < rad && math.Abs(dy) < rad { // most of it is table
				switch d := math.Hypot(dx, dy); {
				case d < rad*0.8:
					c = color.RGBA{uint8(70 + d/2), uint8(44 + d/3), 28, 255}
				case d < rad:
					c = color.RGBA{245, 242, 236, 255}
				}
			}
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = c.R, c.G, c.B, c.A
		}
	}
	return img
}

const wavHeader = 44

// voice makes some seconds that look like speech: a hum in syllables.
func voice(r *rand.Rand, seconds float64) (wav, peaks []byte) {
	n := int(seconds * voiceRate)
	wav = make([]byte, 0, wavHeader+n)
	le := binary.LittleEndian
	wav = append(wav, "RIFF"...)
	wav = le.AppendUint32(wav, uint32(wavHeader-8+n))
	wav = append(wav, "WAVEfmt "...)
	wav = le.AppendUint32(wav, 16)
	wav = le.AppendUint16(wav, 1) // PCM
	wav = le.AppendUint16(wav, 1) // mono
	wav = le.AppendUint32(wav, voiceRate)
	wav = le.AppendUint32(wav, voiceRate)
	wav = le.AppendUint16(wav, 1)
	wav = le.AppendUint16(wav, 8)
	wav = append(wav, "data"...)
	wav = le.AppendUint32(wav, uint32(n))
	peaks = make([]byte, peakCount)
	pitch, syllable := 110+r.Float64()*110, 3+r.Float64()*2
	for i := range n {
		t := float64(i) / voiceRate
		loud := math.Abs(math.Sin(math.Pi*syllable*t)) * (0.6 + 0.4*math.Sin(0.9*t))
		v := loud * (0.7*math.Sin(2*math.Pi*pitch*t) + 0.3*math.Sin(4*math.Pi*pitch*t+1))
		wav = append(wav, byte(128+90*v))
		p := i * peakCount / n
		peaks[p] = max(peaks[p], byte(255*math.Min(1, math.Abs(v))))
	}
	return wav, peaks
}

// pdf makes a valid document of one page with two lines.
func pdf(title, line string) []byte {
	text := "BT /F1 20 Tf 60 760 Td (" + title + ") Tj 0 -32 Td /F1 12 Tf (" + line + ") Tj ET"
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(text), text),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b, xref strings.Builder
	b.WriteString("%PDF-1.4\n")
	fmt.Fprintf(&xref, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for i, o := range objects {
		fmt.Fprintf(&xref, "%010d 00000 n \n", b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", xref.String(), len(objects)+1, at)
	return []byte(b.String())
}
