package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/protocol"
)

// composer gives what stands in a conversation's composer.
func (e *engine) composer(c chat.ConversationID) string {
	e.t.Helper()
	v, err := e.Conversation(c.String())
	if err != nil {
		e.t.Fatal(err)
	}
	if v.Draft == nil {
		return ""
	}
	return v.Draft.Text
}

func (e *engine) types(c chat.ConversationID, d desktop.Draft) {
	e.t.Helper()
	if err := e.SaveDraft(c.String(), d); err != nil {
		e.t.Fatal(err)
	}
}

// twoDesks opens two devices of one member, the first behind a line that can be
// cut, with one conversation.
func twoDesks(t *testing.T) (owner *person, line *Proxy, first, second *engine, c chat.Conversation) {
	t.Helper()
	b := newBackend(t)
	line = NewProxy(t, b.config.Listen)
	first, second = openEngine(t, t.TempDir()), openEngine(t, t.TempDir())
	first.signIn(line.URL())
	second.signIn(b.url())
	b.visitor().says("could you help?")
	c = first.find("could you help?")
	second.find("could you help?")
	return b.owner(), line, first, second, c
}

// TestEngineSendsWithoutAnotherDevicesDraft: a text that waited for the line on
// one device does not take along what was typed on another meanwhile.
func TestEngineSendsWithoutAnotherDevicesDraft(t *testing.T) {
	owner, line, first, second, c := twoDesks(t)
	line.Cut()
	first.status("offline")
	first.send(c.ID, "one moment", c.LastNumber)
	const typed = "a long answer, half written"
	second.types(c.ID, desktop.Draft{Text: typed})
	Until(t, "the server to have the draft", func() bool { return owner.draft(c.ID) == typed })
	line.Restore()
	Until(t, "the text to go out", func() bool { return slices.Contains(owner.texts(c.ID), "one moment") })
	Until(t, "the first device to show the other's draft", func() bool { return first.composer(c.ID) == typed })
	Until(t, "the text on the second device", func() bool {
		confirmed, _ := times(second.thread(c.ID, desktop.ThreadQuery{}), "one moment")
		return confirmed == 1
	})
	if got := second.composer(c.ID); got != typed || owner.draft(c.ID) != typed {
		t.Fatalf("the draft is %q on the device, %q on the server", got, owner.draft(c.ID))
	}
}

// TestEngineKeepsBothDevicesDrafts: what two devices of a member have typed
// without knowing of each other stays on both, until one of them is sent.
func TestEngineKeepsBothDevicesDrafts(t *testing.T) {
	owner, line, first, second, c := twoDesks(t)
	line.Cut()
	first.status("offline")
	first.types(c.ID, desktop.Draft{Text: "hm"})
	const typed = "a long answer, half written"
	second.types(c.ID, desktop.Draft{Text: typed})
	Until(t, "the server to have the draft", func() bool { return owner.draft(c.ID) == typed })
	line.Restore()
	first.status("live")
	owner.command(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: c.ID, Message: chat.NewID[chat.Message](), Text: "look"}, nil)
	Until(t, "the first device to know the log so far", func() bool {
		confirmed, _ := times(first.thread(c.ID, desktop.ThreadQuery{}), "look")
		return confirmed == 1
	})
	first.types(c.ID, desktop.Draft{Text: "hmm"}) // handed in after the rest of the keys, if at all
	second.send(c.ID, typed, c.LastNumber)
	Until(t, "the first device's draft to have its turn", func() bool { return owner.draft(c.ID) == "hmm" })
	if got := owner.texts(c.ID); !slices.Equal(got, []string{"could you help?", typed}) {
		t.Fatalf("said %q", got)
	}
	Until(t, "it on the second device", func() bool { return second.composer(c.ID) == "hmm" && first.composer(c.ID) == "hmm" })
	for _, d := range owner.drafts(c.ID) {
		if d != typed && d != "" && d != "hmm" {
			t.Fatalf("the server had %q in between", d)
		}
	}
}

// held lets the first draft that a device hands in lie somewhere on the way; the
// device gives it up. deliver brings it to the server at last.
func held(g *gate) (stuck *atomic.Bool, deliver func()) {
	release, done := make(chan struct{}), make(chan struct{})
	stuck = new(atomic.Bool)
	g.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/commands" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if bytes.Contains(body, []byte("draft.put")) && stuck.CompareAndSwap(false, true) {
				late := r.Clone(context.WithoutCancel(r.Context()))
				late.Body = io.NopCloser(bytes.NewReader(body))
				go func() {
					<-release
					g.through.ServeHTTP(httptest.NewRecorder(), late)
					close(done)
				}()
				panic(http.ErrAbortHandler)
			}
		}
		g.through.ServeHTTP(w, r)
	})
	return stuck, func() { close(release); <-done }
}

// behindAGate is a desk at a chat, whose first draft lies somewhere on the way.
func behindAGate(t *testing.T) (b *backend, e *engine, c chat.Conversation, stuck *atomic.Bool, deliver func()) {
	b = newBackend(t)
	g := newGate(t, b.url())
	e = openEngine(t, t.TempDir())
	e.signIn(g.URL)
	b.visitor().says("could you help?")
	stuck, deliver = held(g)
	return b, e, e.find("could you help?"), stuck, deliver
}

// TestEngineIgnoresALateDraft: a draft that the network delivers late does not
// replace what was typed since.
func TestEngineIgnoresALateDraft(t *testing.T) {
	b, e, c, stuck, deliver := behindAGate(t)
	const typed = "a long answer, half written"
	e.types(c.ID, desktop.Draft{Text: "a long"})
	Until(t, "the first draft to be on its way", stuck.Load)
	e.types(c.ID, desktop.Draft{Text: typed})
	owner := b.owner()
	Until(t, "the second to be on the server", func() bool { return owner.draft(c.ID) == typed })
	deliver()
	if got := owner.draft(c.ID); got != typed {
		t.Fatalf("typed last was %q, the server has %q", typed, got)
	}
}

// TestEngineIgnoresALateDraftOfWhatWasSent: nor does it bring back what was sent
// off meanwhile.
func TestEngineIgnoresALateDraftOfWhatWasSent(t *testing.T) {
	b, e, c, stuck, deliver := behindAGate(t)
	e.types(c.ID, desktop.Draft{Text: "yes, gladly"})
	Until(t, "the draft to be on its way", stuck.Load)
	e.send(c.ID, "yes, gladly", c.LastNumber)
	owner := b.owner()
	Until(t, "the draft to be taken back", func() bool { return len(owner.drafts(c.ID)) == 1 })
	deliver()
	if got := strings.Join(owner.drafts(c.ID), "|"); got != "" {
		t.Fatalf("what was sent off is a draft again: %q", got)
	}
}

// TestEngineSendsAReplyTypedAsAComment: what was a comment while it was typed and
// is sent as a reply leaves no draft behind.
func TestEngineSendsAReplyTypedAsAComment(t *testing.T) {
	owner, _, first, second, c := twoDesks(t)
	const typed = "we refund 40 EUR"
	first.types(c.ID, desktop.Draft{Text: typed, Comment: true})
	Until(t, "the draft on the other device", func() bool { return second.composer(c.ID) == typed })
	first.types(c.ID, desktop.Draft{Text: typed}) // "Reply" is clicked
	first.send(c.ID, typed, c.LastNumber)
	first.types(c.ID, desktop.Draft{}) // as the composer does
	Until(t, "the text to go out", func() bool { return slices.Contains(owner.texts(c.ID), typed) })
	Until(t, "the draft to go", func() bool { return second.composer(c.ID) == "" && owner.draft(c.ID) == "" })
}
