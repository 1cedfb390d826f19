package demo

import (
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

// drawTopic draws what a visit is about; the creator's and the agency's
// customers have topics of their own.
func (w *writer) drawTopic() *topic {
	t := &w.person.language.topics[w.r.IntN(len(w.person.language.topics))]
	if t.name == "collab" && w.person.brand == coffee || t.name == "subscription" && w.person.brand != coffee {
		return &w.person.language.topics[0]
	}
	return t
}

// text fills a sentence's slots.
func (w *writer) text(p phrase) string {
	if len(p) == 1 && p[0].slot == slotNone {
		return p[0].text
	}
	b := w.buf[:0]
	for _, s := range p {
		if s.slot == slotNone {
			b = append(b, s.text...)
		} else {
			b = w.fill(b, s.slot)
		}
	}
	w.buf = b
	return string(b)
}

func (w *writer) fill(b []byte, s slot) []byte {
	r, lang := w.r, w.person.language
	switch s {
	case slotOrder:
		return strconv.AppendInt(append(b, "NW-"...), int64(10_000+r.IntN(90_000)), 10)
	case slotItem:
		return append(b, pick(r, []string{
			"Yirgacheffe 250 g", "Sidamo 1 kg", "Moka Pot 4", "Cold Brew Kit", "Espresso Nº 7", "V60 Set", "Chemex", "Café Olé 500 g",
		})...)
	case slotDate:
		return appendDate(b, lang.code, w.at.Add(time.Duration(r.IntN(14)-5)*24*time.Hour).Std())
	case slotTime:
		return append(strconv.AppendInt(b, int64(9+r.IntN(9)), 10), pick(r, []string{":00", ":15", ":30"})...)
	case slotAmount:
		return appendAmount(b, lang.code, 300+r.IntN(12_000))
	case slotCity:
		return append(b, w.person.contact.City...)
	case slotTrack:
		return strconv.AppendInt(append(b, "NWT"...), int64(100_000_000+r.IntN(900_000_000)), 10)
	case slotName:
		if w.person.contact.Name == "" {
			return append(b, "☺"...)
		}
		return append(b, w.person.contact.Name...)
	case slotAgent:
		first, _, _ := strings.Cut(w.set.Members[w.agent].Name, " ")
		return append(b, first...)
	case slotBrand:
		return append(b, w.set.Brands[w.person.brand].Name...)
	}
	return b
}

func appendDate(b []byte, language string, t time.Time) []byte {
	switch language {
	case "en":
		return t.AppendFormat(b, "2 January")
	case "zh", "ja":
		return t.AppendFormat(b, "1月2日")
	case "ko":
		return t.AppendFormat(b, "1월 2일")
	}
	return t.AppendFormat(b, "02.01.")
}

func appendAmount(b []byte, language string, cents int) []byte {
	point := byte(',')
	if language == "en" {
		b, point = append(b, "€"...), '.'
	}
	b = append(strconv.AppendInt(b, int64(cents/100), 10), point, byte('0'+cents/10%10), byte('0'+cents%10))
	if language != "en" {
		b = append(b, " €"...)
	}
	return b
}

// shown is something other than text that a customer sends.
func (w *writer) shown() chat.Part {
	m := w.set.media
	switch d := w.r.Float64(); {
	case d < 0.5:
		p := pick(w.r, m.images)
		if chance(w.r, 0.3) {
			p.Text = w.text(pick(w.r, w.topic.ask)) // a caption
		}
		return p
	case d < 0.75:
		p := pick(w.r, m.voices)
		if chance(w.r, 0.5) {
			p.Transcript = w.text(pick(w.r, w.topic.follow))
		}
		return p
	case d < 0.87:
		return pick(w.r, m.papers)
	}
	return chat.Part{Kind: chat.PartLocation, Title: w.person.contact.City,
		Latitude: float64(w.r.IntN(120)-50) + w.r.Float64(), Longitude: float64(w.r.IntN(300)-150) + w.r.Float64()}
}

// offered is a member's answer: mostly the text, sometimes what belongs to it.
func (w *writer) offered(text string) chat.Part {
	m := w.set.media
	d := w.r.Float64()
	switch {
	case w.topic.name == "invoice" && d < 0.3:
		p := pick(w.r, m.invoices)
		p.Text = text
		return p
	case w.person.brand == creator && d < 0.06:
		p := chat.Part{Kind: chat.PartPaid, Title: "Studio session", Text: text, Price: int64(300 + 100*w.r.IntN(20)), Currency: "EUR", State: "locked"}
		if chance(w.r, 0.4) {
			p.State = "unlocked"
		}
		return p
	case d < 0.03:
		return chat.Part{Kind: chat.PartLink, URL: "https://" + w.set.plans[0].name + "/help/" + w.topic.name, Title: "Help: " + w.topic.name, Text: text}
	case d < 0.05:
		p := pick(w.r, m.images)
		p.Text = text
		return p
	case d < 0.06:
		return pick(w.r, m.voices)
	}
	return chat.TextPart(text)
}
