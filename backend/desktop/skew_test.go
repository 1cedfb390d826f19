package desktop

import (
	"encoding/json"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestHowFarTheServersClockIsAhead: as far as it was when it was read, until
// this machine's clock is set, or the machine sleeps.
func TestHowFarTheServersClockIsAhead(t *testing.T) {
	for name, test := range map[string]struct{ ahead, set, want time.Duration }{
		"hardly":                {20 * time.Second, 0, 0},
		"a day":                 {24 * time.Hour, 0, 24 * time.Hour},
		"an hour behind":        {-time.Hour, 0, -time.Hour},
		"set right since":       {24 * time.Hour, 24 * time.Hour, 0},
		"adjusted a bit since":  {24 * time.Hour, time.Second, 24 * time.Hour},
		"set back since, wrong": {0, -time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var set time.Duration
			e := open(t, Options{Data: t.TempDir(), DefaultServer: "x", Wall: func() time.Time { return time.Now().Add(set) }})
			s := &session{e: e}
			if d := s.ahead(); d != 0 {
				t.Fatalf("%v ahead before it was read", d)
			}
			s.readClock(chat.TimeOf(time.Now()).Add(test.ahead))
			set = test.set
			if d := s.ahead(); (d - test.want).Abs() > time.Second {
				t.Fatalf("%v ahead, want %v", d, test.want)
			}
		})
	}
}

// The moment of a text to be sent later is this machine's before and after a
// restart: it is shown by this clock, and whether it is still to come is asked of it.
func TestSendLaterAfterARestartOnAWrongClock(t *testing.T) {
	dir, ring := t.TempDir(), &lockable{kept: map[string]string{}}
	e := openWith(t, dir, ring)
	join(t, e, nowhere)
	s := current(t, e)
	conv := cached(t, s, chat.NewID[chat.Brand]())
	s.readClock(e.now().Add(-24 * time.Hour)) // this clock is a day ahead
	at := e.now().Add(6 * time.Hour)
	if _, err := e.Send(conv.String(), NewMessage{Text: "tonight", Seen: 1, SendAt: at}); err != nil {
		t.Fatal(err)
	}
	asked := momentOf(t, s.outbox.Snapshot().Of(conv)[0].Args)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openWith(t, dir, ring)
	after := current(t, e).outbox.Snapshot().Of(conv)[0]
	if after.SendAt != at {
		t.Errorf("shown for %v, chosen was %v", after.SendAt.Std(), at.Std())
	}
	if now := momentOf(t, after.Args); now != asked {
		t.Errorf("the server is asked for %v, before the restart for %v", now.Std(), asked.Std())
	}
	after.Problem = &protocol.Problem{Code: chat.CodeBlocked}
	again, err := e.again(after, Resend{})
	if err != nil || again.SendAt != at || momentOf(t, again.Args) != asked {
		t.Errorf("sent again: for %v, %s %v", again.SendAt.Std(), again.Args, err)
	}
}

// What a restored server was to send later still waits for its moment when it
// is sent again.
func TestWhatVanishedIsStillSentLaterOnAWrongClock(t *testing.T) {
	e := openWith(t, t.TempDir(), &lockable{kept: map[string]string{}})
	join(t, e, nowhere)
	s := current(t, e)
	conv := cached(t, s, chat.NewID[chat.Brand]())
	server := e.now().Add(-24 * time.Hour) // this clock is a day ahead
	s.readClock(server)
	x := chat.Scheduled{ID: chat.NewID[chat.Message](), Conversation: conv, Member: s.me, Parts: []chat.Part{chat.TextPart("tonight")},
		SendAt: server.Add(6 * time.Hour), CreatedAt: server}
	if err := s.keepScheduled(x, s.outbox.Snapshot()); err != nil {
		t.Fatal(err)
	}
	kept := s.outbox.Snapshot().Of(conv)[0]
	if shown := kept.SendAt.Sub(e.now().Add(6 * time.Hour)); shown.Abs() > time.Minute {
		t.Errorf("shown %v off", shown)
	}
	if _, err := e.Resend(kept.ID.String(), Resend{}); err != nil {
		t.Fatal(err)
	}
	if now := momentOf(t, s.outbox.Snapshot().Of(conv)[0].Args); now != x.SendAt {
		t.Errorf("its time is still to come, and the server is asked for %v", now.Std())
	}
}

// momentOf gives when the server is asked to send a text, by its clock.
func momentOf(t *testing.T, raw json.RawMessage) chat.Time {
	t.Helper()
	var args protocol.MessageSendArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		t.Fatal(err)
	}
	return args.SendAt
}
