package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// visitor is a customer with a widget that keeps to the contract: it sends one
// message after the other, each under one id until the server has answered, and
// reads what it has not read yet. Its line breaks like anybody's.
type visitor struct {
	w     *world
	name  string
	id    chat.ContactID
	brand int
	rng   *rand.Rand
	line  *line
	http  *http.Client

	mu    sync.Mutex
	queue []string // texts that wait
	heard []string // texts whose answer was heard: the server has them

	after int64 // the newest number that was read
	read  []chat.MessageID
}

const visitorPatience = 8 * time.Second // with one request

func (w *world) newVisitor(i int) *visitor {
	var id [16]byte
	id[0], id[6], id[8], id[15] = 1, 0x70, 0x80, byte(i+1)
	v := &visitor{w: w, name: fmt.Sprint("customer", i+1), id: chat.ContactID(id), brand: brandOf(id)}
	v.rng = source(w.seed, v.name)
	v.line = w.newLine(v.name)
	v.http = &http.Client{Timeout: visitorPatience, Transport: &http.Transport{DialContext: v.line.dial}}
	w.chances[v.id.String()] = source(w.seed, v.name+"/requests")
	return v
}

// write is what the customer does: it waits until it is sent.
func (v *visitor) write(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queue = append(v.queue, text)
}

func (v *visitor) next() (text string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) == 0 {
		return "", false
	}
	return v.queue[0], true
}

// live is the widget at work, until nothing more is written and all is sent.
func (v *visitor) live(until time.Time) {
	id := chat.NewID[chat.Message]()
	for {
		if time.Now().Before(until) {
			v.breakLine()
		} else {
			v.line.set(true)
		}
		text, waits := v.next()
		switch {
		case waits:
			if v.send(id, text) {
				id = chat.NewID[chat.Message]()
				continue
			}
		case time.Now().After(until):
			return
		}
		if time.Now().After(until.Add(settleTime)) {
			v.w.violation("%s cannot send %q", v.name, text)
			return
		}
		if !waits && v.rng.IntN(4) == 0 {
			v.catchUp()
		}
		time.Sleep(between(v.rng, 300*time.Millisecond, 2*time.Second))
	}
}

// breakLine cuts the line now and then, makes it silent, or takes it away.
func (v *visitor) breakLine() {
	switch n := v.rng.IntN(40); {
	case n < 2:
		v.line.cut()
	case n < 4:
		v.line.hush(v.rng.IntN(2) == 0, true)
	case n < 5:
		v.line.set(false)
		v.line.cut()
		time.Sleep(between(v.rng, time.Second, 10*time.Second))
		v.line.set(true)
	}
}

// send hands a message in and reports whether the server has answered for it.
func (v *visitor) send(id chat.MessageID, text string) bool {
	var sent protocol.VisitorSent
	if !v.ask(http.MethodPost, "/v1/visitor/messages", protocol.VisitorSend{ID: id, Text: text}, &sent) {
		return false
	}
	if sent.Message.ID != id {
		v.w.violation("%s sent %s and was answered for %s", v.name, id, sent.Message.ID)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queue, v.heard = v.queue[1:], append(v.heard, text)
	return true
}

// catchUp reads what has been written since.
func (v *visitor) catchUp() bool {
	for {
		var page protocol.VisitorMessages
		if !v.ask(http.MethodGet, fmt.Sprint("/v1/visitor/messages?after=", v.after), nil, &page) {
			return false
		}
		if page.To < v.after { // the thread ends before what was read: another one, or an older backup
			v.after, v.read = 0, nil
			continue
		}
		for _, m := range page.Messages {
			if m.Number <= v.after {
				v.w.violation("%s reads number %d after %d", v.name, m.Number, v.after)
			}
			v.after, v.read = m.Number, append(v.read, m.ID)
		}
		if len(page.Messages) == 0 {
			return true
		}
	}
}

func (v *visitor) ask(method, path string, in, out any) bool {
	var body io.Reader
	if in != nil {
		body = bytes.NewReader(encode(in))
	}
	req, err := http.NewRequestWithContext(context.Background(), method, address1+path, body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Visitor "+v.id.String())
	res, err := v.http.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode < 300 && json.NewDecoder(res.Body).Decode(out) == nil
}

// final compares what the customer sent and read with what the server has.
func (v *visitor) final() {
	for end := time.Now().Add(settleTime); !v.catchUp(); time.Sleep(time.Second) {
		if time.Now().After(end) { // a line that is silent since before is noticed once
			v.w.violation("%s cannot read", v.name)
			return
		}
	}
	v.http.CloseIdleConnections()
	s := v.w.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restored || s.erasedOf[v.id] { // what was lost with it, nobody resends
		return
	}
	var said []string
	var shown []chat.MessageID
	if t := s.threadOf(v.id); t != nil {
		for _, m := range t.messages {
			if m.FromCustomer() {
				said = append(said, strings.TrimRight(m.Text(), "*"))
			}
			if visible(m) {
				shown = append(shown, m.ID)
			}
		}
	}
	if !slices.Equal(said, v.heard) {
		v.w.violation("%s was answered for %q, the server has %q", v.name, v.heard, said)
	}
	if !slices.Equal(shown, v.read) {
		v.w.violation("%s has read %v, the server has %v", v.name, v.read, shown)
	}
}

// threadOf gives a customer's conversation. The caller holds mu.
func (s *server) threadOf(c chat.ContactID) *thread {
	for _, t := range s.threads {
		if t.Contact == c {
			return t
		}
	}
	return nil
}

// visible reports whether a customer may see a message.
func visible(m chat.Message) bool { return m.Kind == chat.MessageKindMessage }

// visitors answers widgets. Who asks is who the token names.
func (s *server) visitors(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Visitor ")
	id, err := chat.ParseID[chat.Contact](token)
	if err != nil {
		problem(w, chat.Errorf(chat.CodeUnauthorized, "Who is this?"))
		return
	}
	if r.Method == http.MethodGet {
		after := number(r, "after")
		s.mu.Lock()
		defer s.mu.Unlock()
		out := protocol.VisitorMessages{From: after, Messages: []protocol.VisitorMessage{}}
		if t := s.threadOf(id); t != nil {
			out.To = t.LastNumber
			for _, m := range t.messages {
				if m.Number > after && visible(m) && len(out.Messages) < pageMessages {
					out.Messages = append(out.Messages, visitorMessage(m))
				}
			}
		}
		answer(w, http.StatusOK, out)
		return
	}
	var in protocol.VisitorSend
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		problem(w, chat.Invalid("body", "not JSON"))
		return
	}
	fault := s.faults(id.String())
	if fault.refuse != "" {
		problem(w, chat.Errorf(fault.refuse, "Not now."))
		return
	}
	time.Sleep(fault.late) // the visitor gives up meanwhile, and sends it again
	m := s.arrive(id, in.ID, in.Text)
	if fault.twice {
		m = s.arrive(id, in.ID, in.Text)
	}
	if fault.lostAnswer {
		panic(http.ErrAbortHandler)
	}
	answer(w, http.StatusOK, protocol.VisitorSent{Message: visitorMessage(m)})
}

func visitorMessage(m chat.Message) protocol.VisitorMessage {
	return protocol.VisitorMessage{ID: m.ID, Number: m.Number, Author: protocol.VisitorAuthor{Kind: m.Author.Kind}, Parts: m.Parts, SentAt: m.SentAt,
		EditedAt: m.EditedAt, DeletedAt: m.DeletedAt}
}
