package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
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
	if head > s.hub.tail.Load().head {
		s.hub.look() // it has not heard of everything that we were told
	}
	if end, err := s.turn(ctx, todoTell); end != nil || err != nil {
		return end
	}
	if err := s.catchUp(); err != nil {
		return nil
	}
	for {
		<-s.wake
		select {
		case <-s.gone:
			return nil
		default:
		}
		todo := s.todo.Swap(0)
		if todo&todoBeat != 0 {
			if end, err := s.beat(ctx); end != nil || err != nil {
				return end
			}
		}
		if end, err := s.turn(ctx, todo); end != nil || err != nil {
			return end
		}
	}
}

// turn writes everything there is to write.
func (s *socket) turn(ctx context.Context, todo uint32) (*closing, error) {
	end, err := s.follow(ctx)
	if end != nil || err != nil {
		return end, err
	}
	// Revoked: after the log, so that the client also learns why.
	if end := s.ending(); end != nil {
		return end, nil
	}
	if todo&todoTell == 0 {
		return nil, nil
	}
	return nil, s.tell()
}

func (s *socket) ending() *closing { return s.end.Load() }

// follow writes packets until the socket has everything the hub knows of: from
// the tail if that reaches back far enough, else from the log.
func (s *socket) follow(ctx context.Context) (*closing, error) {
	for {
		if end := s.ending(); end != nil && end.code != protocol.CloseRevoked {
			return end, nil
		}
		t := s.hub.tail.Load()
		entries, ok := t.since(s.read)
		if !ok {
			var end *closing
			var err error
			if entries, end, err = s.fromLog(ctx, t); end != nil || err != nil {
				return end, err
			}
		}
		if len(entries) == 0 {
			if !ok {
				continue // it was told that it is behind, and goes on from the head
			}
			return nil, nil
		}
		if end, err := s.packet(t.log, entries); end != nil || err != nil {
			return end, err
		}
	}
}

// packet writes a part of entries, as much as fits one packet, filtered by
// what the member may see at each point of the log.
func (s *socket) packet(log int64, entries []entry) (*closing, error) {
	k := frameKey{log: log, from: s.sent, read: s.read, to: s.read}
	var end *closing
	n, bytes := 0, 0
	for i := range entries {
		e := &entries[i]
		if i >= protocol.MaxChanges || bytes > 0 && bytes+len(e.raw) > protocol.MaxPacketBytes {
			break
		}
		k.to = e.change.Seq
		if s.view.SeesChange(e.change) {
			k.pick(i)
			n++
			bytes += len(e.raw)
		}
		if e.change.Kind == chat.EntityAccess && e.change.Member == s.who.Member.ID {
			if end = s.changeView(e.change); end != nil {
				break
			}
		}
	}
	s.read = k.to
	if n == 0 { // the next packet begins where the last one ended
		return end, nil
	}
	frame, err := s.hub.frames.of(&k, entries)
	if err != nil {
		return end, err
	}
	err = s.send(func() error { return s.conn.WritePreparedMessage(frame) })
	s.sent = k.to
	s.api.metrics.packets.Inc()
	return end, err
}

// fromLog gives changes from before the tail. There are none where the client
// was told instead that it is too far behind.
func (s *socket) fromLog(ctx context.Context, t *tail) ([]entry, *closing, error) {
	entries, err := s.hub.older(ctx, t.log, s.read)
	switch code := chat.ErrorCode(err); {
	case code == chat.CodeFarBehind || code == chat.CodeReset:
		return nil, nil, s.behind(t.head)
	case err != nil:
		s.api.log.WarnContext(ctx, "read the log for a socket", "error", err)
		c := restarting(2)
		return nil, &c, nil
	}
	if len(entries) == 0 { // the log ends before the tail: only when it was replaced
		return nil, nil, s.behind(t.head)
	}
	return entries, nil, nil
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

// catchUp tells the client a position up to which there was nothing for it.
func (s *socket) catchUp() error {
	if s.sent == s.read {
		return nil
	}
	err := s.write1(append(packetStart(nil, s.sent, s.read), "]}"...))
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
	s.order, s.whispers = nil, nil
	s.mu.Unlock()
	for _, key := range order {
		w := whispers[key]
		if !s.view.Sees(w.brand) {
			continue
		}
		if err := s.send(func() error { return s.conn.WritePreparedMessage(w.frame) }); err != nil {
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
	// A beat says that nothing is missing. Who may have missed something hears
	// none, gives the socket up and asks.
	if !s.hub.blind.Load() {
		if err := s.put(beatFrame{protocol.FrameBeat, s.sent, chat.TimeOf(time.Now())}); err != nil {
			return nil, err
		}
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

func (s *socket) write1(raw []byte) error {
	return s.send(func() error { return s.conn.WriteMessage(websocket.TextMessage, raw) })
}

// send writes one frame. If that takes too long, the client is told so after
// it: what it has missed it can pull when it comes back.
func (s *socket) send(write func() error) error {
	began := time.Now()
	s.writing.Store(s.hub.clock.Load() + 1)              // pace ends what hangs
	_ = s.conn.SetWriteDeadline(began.Add(writeTimeout)) // only notes it
	err := write()
	s.writing.Store(0)
	if err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	if time.Since(began) > s.api.hubs.slow {
		s.tooSlow()
	}
	return nil
}

// tooSlow ends a socket that does not keep up.
func (s *socket) tooSlow() {
	if s.ending() == nil {
		s.api.metrics.slow.Inc()
		s.close(closing{protocol.CloseTooSlow, "the client does not keep up"})
	}
}
