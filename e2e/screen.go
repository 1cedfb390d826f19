package e2e

import (
	"encoding/binary"
	"fmt"
	"image"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Screen is what a person sees, read from the X server's own memory: looking at it needs nothing from the programs
// that draw, and costs them next to nothing.
type Screen struct {
	pixels []byte
	stride int // bytes from one line to the next
	size   image.Rectangle
}

// openScreen maps the picture that Xvfb keeps in the folder given with -fbdir: a file as xwd writes it, 32 bits a pixel.
func openScreen(t testing.TB, folder string) *Screen {
	t.Helper()
	path := filepath.Join(folder, "Xvfb_screen0")
	file, err := os.Open(path)
	if err != nil {
		t.Fatalf("see the screen: %v", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatalf("see the screen: %v", err)
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatalf("see the screen: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(data) })
	// X11/XWDFile.h: 25 numbers of 32 bits, the biggest byte first; then the window's name, then 12 bytes a colour.
	field := func(n int) int { return int(binary.BigEndian.Uint32(data[4*n:])) }
	const headerSize, width, height, bitsPerPixel, bytesPerLine, colours = 0, 4, 5, 11, 12, 19
	s := &Screen{stride: field(bytesPerLine), size: image.Rect(0, 0, field(width), field(height))}
	start := field(headerSize) + 12*field(colours)
	if field(bitsPerPixel) != 32 || start+s.stride*s.size.Dy() > len(data) {
		t.Fatalf("see the screen: %s is no picture of 32 bits a pixel", path)
	}
	s.pixels = data[start:]
	return s
}

// Of the screen every eighth line is looked at, and on it every second pixel: no letter fits in between.
const lineStep, pixelStep = 8, 2

// ink is what is dark on the screen, a bit for each pixel looked at: text, mostly.
type ink []uint64

// ink looks at a part of the screen.
func (s *Screen) ink(part image.Rectangle) ink {
	return look(part.Intersect(s.size), func(x, y int) bool {
		// Blue, green, red, nothing: green is most of what an eye calls bright.
		return s.pixels[y*s.stride+4*x+1] < 128
	})
}

// look collects a bit for each pixel looked at.
func look(part image.Rectangle, dark func(x, y int) bool) ink {
	seen := make(ink, 0, part.Dx()*part.Dy()/(pixelStep*lineStep*64)+1)
	var word uint64
	n := 0
	for y := part.Min.Y; y < part.Max.Y; y += lineStep {
		for x := part.Min.X; x < part.Max.X; x += pixelStep {
			word <<= 1
			if dark(x, y) {
				word |= 1
			}
			if n++; n == 64 {
				seen, word, n = append(seen, word), 0, 0
			}
		}
	}
	return append(seen, word)
}

// differs counts the pixels of mask in which two looks at the same part differ.
func (a ink) differs(b, mask ink) int {
	n := 0
	for i := range a {
		n += bits.OnesCount64((a[i] ^ b[i]) & mask[i])
	}
	return n
}

// glimpse is what the screen showed from a moment on.
type glimpse struct {
	at  time.Time
	ink ink
}

// Film is what happened on a part of the screen.
type Film struct {
	part     image.Rectangle
	glimpses []glimpse
}

// Watch films a part of the screen until nothing has changed for some time after the first change, or for 5 seconds
// if it never stops. The first picture is of before.
func (s *Screen) Watch(part image.Rectangle, before ink, still time.Duration) *Film {
	part = part.Intersect(s.size)
	f := &Film{part, []glimpse{{time.Now(), before}}}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began, changed := time.Now(), time.Now()
	for now := began; now.Sub(began) < 5*time.Second; now = <-tick.C {
		seen := s.ink(part)
		if !slices.Equal(seen, f.glimpses[len(f.glimpses)-1].ink) {
			f.glimpses = append(f.glimpses, glimpse{now, seen})
			changed = now
		}
		if len(f.glimpses) > 1 && now.Sub(changed) > still {
			break
		}
	}
	return f
}

// Painted is when the last picture of a part of the film was there: the first moment from which on nine tenths of what
// changed there had changed.
func (f *Film) Painted(part image.Rectangle) (time.Time, error) {
	within := f.mask(part)
	last := f.glimpses[len(f.glimpses)-1]
	all := f.glimpses[0].ink.differs(last.ink, within)
	if all == 0 {
		return time.Time{}, fmt.Errorf("nothing has changed in %d pictures", len(f.glimpses))
	}
	at := last.at
	for _, g := range slices.Backward(f.glimpses) {
		if g.ink.differs(last.ink, within)*10 > all {
			break
		}
		at = g.at
	}
	return at, nil
}

// mask has the bits of a part of the film.
func (f *Film) mask(part image.Rectangle) ink {
	return look(f.part, func(x, y int) bool { return image.Pt(x, y).In(part) })
}
