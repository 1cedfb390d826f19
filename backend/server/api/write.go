package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/fanout"
)

// write is the socket's writer: welcome, then whatever the log holds, ephemera
// and beats, until it ends. The answer says how to close; nil means that the
// connection is gone already.
func (s *socket) write(ctx context.Context, hello protocol.Frame) *closing {
	head, epoch, err := s.api.inbox.Head(ctx, s.who.Workspace)
	if err != nil {
		s.api.log.WarnContext(ctx, "welcome socket", "error", err)
		c := restarting(2)
		return &c
	}
	if err := s.put(welcomeFrame{protocol.FrameWelcome, head, s.api.hubs.beat.Seconds(), epoch}); err != nil {
		return nil
	}
	s.sent, s.read = head, head
	if hello.After != nil {
		s.sent, s.read = *hello.After, *hello.After
	}
	if s.read > head || s.read < 0 || hello.Epoch != "" && hello.Epoch != epoch {
		// A position of another history: the client learns the rest by pulling.
		if err := s.behind(head); err != nil {
			return nil
		}
	}
	if end, err := s.turn(ctx); end != nil || err != nil {
		return end
	}
	if err := s.catchUp(); err != nil {
		return nil
	}
	beat := time.NewTicker(s.api.hubs.beat)
	defer beat.Stop()
	for {
		select {
		case <-s.gone:
			return nil
		case <-s.wake:
		case <-beat.C:
			if end, err := s.beat(ctx); end != nil || err != nil {
				return end
			}
		}
		if end, err := s.turn(ctx); end != nil || err != nil {
			return end
		}
	}
}

// turn writes everything there is to write.
func (s *socket) turn(ctx context.Context) (*closing, error) {
	end, err := s.follow(ctx)
	if end != nil || err != nil {
		return end, err
	}
	// Revoked: after the log, so that the client also learns why.
	if end := s.ending(); end != nil {
		return end, nil
	}
	return nil, s.tell()
}

func (s *socket) ending() *closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// follow writes packets until the socket has everything the hub knows of: from
// the tail if that reaches back far enough, else from the log.
func (s *socket) follow(ctx context.Context) (*closing, error) {
	for {
		if end := s.ending(); end != nil && end.code != protocol.CloseRevoked {
			return end, nil
		}
		entries, head, ok := s.hub.since(s.read)
		if ok && len(entries) == 0 {
			return nil, nil
		}
		var end *closing
		var err error
		if ok {
			end, err = s.packet(entries)
		} else {
			end, err = s.fromLog(ctx, head)
		}
		if end != nil || err != nil {
			return end, err
		}
	}
}

// packet writes a part of entries, as much as fits one packet, filtered by
// what the member may see at each point of the log.
func (s *socket) packet(entries []entry) (*closing, error) {
	var out []json.RawMessage
	var end *closing
	bytes, to := 0, s.read
	for i, e := range entries {
		if i >= protocol.MaxChanges || bytes > 0 && bytes+len(e.raw) > protocol.MaxPacketBytes {
			break
		}
		to = e.change.Seq
		if s.view.SeesChange(e.change) {
			out = append(out, e.raw)
			bytes += len(e.raw)
		}
		if e.change.Kind == chat.EntityAccess && e.change.Member == s.who.Member.ID {
			if end = s.changeView(e.change); end != nil {
				break
			}
		}
	}
	return end, s.putPacket(out, to)
}

// fromLog writes one page of the log.
func (s *socket) fromLog(ctx context.Context, head int64) (*closing, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	page, err := s.api.inbox.Changes(ctx, s.who.Workspace, s.view, s.read, protocol.MaxChanges, "")
	switch code := chat.ErrorCode(err); {
	case code == chat.CodeFarBehind || code == chat.CodeReset:
		return nil, s.behind(head)
	case err != nil:
		s.api.log.WarnContext(ctx, "read the log for a socket", "error", err)
		c := restarting(2)
		return &c, nil
	}
	if page.To <= s.read { // the log ends before the tail: only when it was replaced
		return nil, s.behind(head)
	}
	out := make([]json.RawMessage, 0, len(page.Changes))
	var end *closing
	to := page.To
	for _, c := range page.Changes {
		raw, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encode change: %w", err)
		}
		out = append(out, raw)
		if c.Kind == chat.EntityAccess && c.Member == s.who.Member.ID {
			end, to = s.changeView(c), c.Seq // the rest of the page was picked by the old view
			break
		}
	}
	return end, s.putPacket(out, to)
}

// changeView follows a change of what the member may see.
func (s *socket) changeView(c chat.Change) *closing {
	var a chat.Access
	if err := json.Unmarshal(c.Data, &a); err != nil {
		end := restarting(2) // the next socket asks the database
		return &end
	}
	if a.Revoked {
		return &closing{code: protocol.CloseRevoked}
	}
	m := s.who.Member
	m.Role, m.Brands = a.Role, a.Brands
	s.view = chat.ViewOf(m)
	return nil
}

// putPacket writes a packet, unless the member may see nothing in it: then the
// next one begins where the last one ended.
func (s *socket) putPacket(changes []json.RawMessage, to int64) error {
	s.read = to
	if len(changes) == 0 {
		return nil
	}
	err := s.put(changesFrame{protocol.FrameChanges, s.sent, to, changes})
	s.sent = to
	s.api.metrics.packets.Inc()
	return err
}

// catchUp tells the client a position up to which there was nothing for it.
func (s *socket) catchUp() error {
	if s.sent == s.read {
		return nil
	}
	err := s.put(changesFrame{protocol.FrameChanges, s.sent, s.read, []json.RawMessage{}})
	s.sent = s.read
	return err
}

// behind tells the client to pull, and goes on from the head.
func (s *socket) behind(head int64) error {
	s.api.metrics.behind.Inc()
	s.sent, s.read = head, head
	return s.put(behindFrame{protocol.FrameBehind, head})
}

// tell writes the waiting ephemera that the member may see.
func (s *socket) tell() error {
	s.mu.Lock()
	order, whispers := s.order, s.whispers
	if len(order) == 0 {
		s.mu.Unlock()
		return nil
	}
	s.order, s.whispers = nil, make(map[string]fanout.Hint, len(order))
	s.mu.Unlock()
	for _, key := range order {
		h := whispers[key]
		if !s.view.Sees(h.Brand) {
			continue
		}
		if err := s.write1(h.Ephemeral); err != nil {
			return err
		}
	}
	return nil
}

// beat shows that the connection lives, and that the session still does.
func (s *socket) beat(ctx context.Context) (*closing, error) {
	if _, err := s.api.inbox.Authenticate(ctx, s.token); chat.ErrorCode(err) == chat.CodeUnauthorized {
		return endOf(err), nil
	}
	end, err := s.follow(ctx)
	if end != nil || err != nil {
		return end, err
	}
	if err := s.catchUp(); err != nil {
		return nil, err
	}
	if err := s.put(beatFrame{protocol.FrameBeat, s.sent, chat.TimeOf(time.Now())}); err != nil {
		return nil, err
	}
	return nil, s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
}

func (s *socket) put(frame any) error {
	raw, err := json.Marshal(frame)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	return s.write1(raw)
}

// write1 writes one frame. If that takes too long, the client is told so after
// it: what it has missed it can pull when it comes back.
func (s *socket) write1(raw []byte) error {
	slow := time.AfterFunc(s.api.hubs.slow, func() {
		s.api.metrics.slow.Inc()
		s.close(closing{protocol.CloseTooSlow, "the client does not keep up"})
	})
	defer slow.Stop()
	s.mu.Lock()
	s.writing = true
	s.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // only notes it
	err := s.conn.WriteMessage(websocket.TextMessage, raw)
	s.mu.Lock()
	s.writing = false
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}
