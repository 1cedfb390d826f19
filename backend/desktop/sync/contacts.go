package sync

import (
	"context"
	"net/url"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The log tells a change of a conversation without its contact. That is not
// here if the conversation is older than what was loaded, or has moved up from
// a page of the load that was still to come: it is asked for.

// introduce asks for contacts that are missing, while the line is well and no
// load is under way that may bring them.
func (m *Machine) introduce() {
	if !m.unknown || m.asking || m.filling != "" || !m.loaded || m.socket != socketWelcomed || m.now.Mono < m.askAt {
		return
	}
	m.unknown, m.asking = false, true
	m.do(Introduce{})
}

func (m *Machine) introduced(ev Introduced) {
	m.asking = false
	switch code := chat.ErrorCode(ev.Err); {
	case ev.Err == nil:
		m.asks = 0
	case code == chat.CodeUnauthorized:
		m.end(protocol.IsWipe(ev.Err))
	case code == chat.CodeInvalid || code == chat.CodeNotFound:
		// This server does not take the question; it would not take it again.
	default:
		m.unknown = true
		m.askAt = m.now.Mono + max(m.delay(&m.asks), retryAfter(ev.Err))
	}
}

// unknown reports whether contacts are missing, as far as can be read.
func (s *Sync) unknown() bool {
	ids, _, err := s.cfg.Cache.Unknown(s.ctx, 0, 1)
	return err != nil || len(ids) > 0
}

func (s *Sync) introduce() {
	s.flying.Go(func() {
		err := s.contacts(s.ctx)
		if err != nil && s.ctx.Err() == nil {
			s.cfg.Log.Debug("ask for contacts", "error", err)
		}
		s.post(Introduced{err})
	})
}

// contactsOf is for how many conversations contacts are asked for at once: the
// most a list takes along.
const contactsOf = 200

// contacts asks once for each contact that is missing. What the server does not
// give, it does not have for this member.
func (s *Sync) contacts(ctx context.Context) error {
	era := s.cfg.Cache.Era()
	for after := int64(0); ; {
		ids, last, err := s.cfg.Cache.Unknown(ctx, after, contactsOf)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = last
		with := make([]string, len(ids))
		for i, id := range ids {
			with[i] = id.String()
		}
		found, err := s.cfg.Client.List(ctx, url.Values{"limit": {"1"}, "with": {strings.Join(with, ",")}})
		if err != nil {
			return err
		}
		applied, err := s.cfg.Cache.PutAhead(ctx, era, RowsOf(found))
		if err != nil {
			return err
		}
		s.cfg.Changed(applied)
	}
}
