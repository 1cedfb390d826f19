package demo

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

// The sentences live in one file per language. A line "@topic" opens a topic;
// below it each line is a role and a sentence with slots in braces.
//
//go:embed phrases/*.txt
var phraseFiles embed.FS

// language is what people say in one language.
type language struct {
	code   string
	topics []topic
	any    map[string][]phrase // small, thanks, bye, bot
	people people
}

// topic is something customers ask about: questions, answers, follow-ups and
// replies to those.
type topic struct {
	name                         string
	ask, answer, follow, replies []phrase
}

// phrase is a sentence cut at its slots.
type phrase []segment

type segment struct {
	text string
	slot slot
}

type slot uint8

const (
	slotNone slot = iota
	slotOrder
	slotItem
	slotDate
	slotTime
	slotAmount
	slotCity
	slotTrack
	slotName
	slotAgent
	slotBrand
)

func slotOf(name string) (slot, bool) {
	switch name {
	case "order":
		return slotOrder, true
	case "item":
		return slotItem, true
	case "date":
		return slotDate, true
	case "time":
		return slotTime, true
	case "amount":
		return slotAmount, true
	case "city":
		return slotCity, true
	case "track":
		return slotTrack, true
	case "name":
		return slotName, true
	case "agent":
		return slotAgent, true
	case "brand":
		return slotBrand, true
	}
	return slotNone, false
}

// loadLanguages reads the embedded sentences. They are part of the program: a
// mistake in them is a mistake in the source, found by every test.
func loadLanguages() []*language {
	var all []*language
	for _, p := range allPeople() {
		l, err := parseLanguage(p)
		if err != nil {
			panic(fmt.Sprintf("demo: %v", err))
		}
		all = append(all, l)
	}
	return all
}

func parseLanguage(p people) (*language, error) {
	file := path.Join("phrases", p.language+".txt")
	data, err := phraseFiles.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read sentences: %w", err)
	}
	l := &language{code: p.language, any: map[string][]phrase{}, people: p}
	var t *topic
	for n, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if name, ok := strings.CutPrefix(line, "@"); ok {
			t = nil
			if name != "any" {
				l.topics = append(l.topics, topic{name: name})
				t = &l.topics[len(l.topics)-1]
			}
			continue
		}
		role, text, ok := strings.Cut(line, " ")
		ph, err := parsePhrase(text)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s line %d: %q is not a role and a sentence: %v", file, n+1, line, err)
		}
		switch {
		case t == nil:
			l.any[role] = append(l.any[role], ph)
		case role == "q":
			t.ask = append(t.ask, ph)
		case role == "a":
			t.answer = append(t.answer, ph)
		case role == "f":
			t.follow = append(t.follow, ph)
		case role == "r":
			t.replies = append(t.replies, ph)
		default:
			return nil, fmt.Errorf("%s line %d: unknown role %q", file, n+1, role)
		}
	}
	return l, nil
}

func parsePhrase(text string) (phrase, error) {
	var ph phrase
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return append(ph, segment{text: text}), nil
		}
		if open > 0 {
			ph = append(ph, segment{text: text[:open]})
		}
		name, rest, ok := strings.Cut(text[open+1:], "}")
		s, known := slotOf(name)
		if !ok || !known {
			return nil, fmt.Errorf("unknown slot %q", name)
		}
		ph = append(ph, segment{slot: s})
		text = rest
	}
	return ph, nil
}
