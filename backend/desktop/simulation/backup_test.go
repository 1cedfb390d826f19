package simulation

import (
	"maps"
	"slices"

	"parley/backend/chat"
)

// snapshot is a backup: what people have written, and what was answered to it.
type snapshot struct {
	contacts map[chat.ContactID]*chat.Contact
	threads  map[chat.ConversationID]*thread
	drafts   map[draftKey]*chat.Draft
	verdicts map[verdictKey]verdict
	arrivals map[chat.MessageID]chat.Message
}

// snapshot makes a backup.
func (s *server) snapshot() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &snapshot{contacts: map[chat.ContactID]*chat.Contact{}, threads: map[chat.ConversationID]*thread{}, drafts: map[draftKey]*chat.Draft{},
		verdicts: maps.Clone(s.verdicts), arrivals: maps.Clone(s.arrivals)}
	for id, p := range s.contacts {
		b.contacts[id] = new(*p)
	}
	for id, t := range s.threads {
		b.threads[id] = &thread{t.Conversation, slices.Clone(t.messages)}
	}
	for key, d := range s.drafts {
		b.drafts[key] = new(*d)
	}
	return b
}

func (s *server) isRestored() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restored
}

// restore brings a backup back under another epoch. Whatever came after it is
// gone from the server; of who may see what, it knows what is true now.
func (s *server) restore(b *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contacts, s.threads, s.drafts, s.verdicts, s.arrivals = b.contacts, b.threads, b.drafts, b.verdicts, b.arrivals
	s.restored = true
	s.renew()
}
