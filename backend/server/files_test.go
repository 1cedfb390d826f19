package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestAFileFollowsItsBrand: a file is for those who see a message with it and
// those who brought it. To others it does not exist, and its name alone opens
// nothing: neither by sending it nor by claiming to bring it.
func TestAFileFollowsItsBrand(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.unpaced()
		second := r.addBrand("Second")
		ana, ben := r.member("Ana", chat.RoleAgent, second.Brand), r.member("Ben", chat.RoleAgent, r.created.Brand)
		conv, v := r.conversation()
		other := r.visit(second.Key)
		other.say("hello")
		path := "/v1/files/" + shaOf(png)
		has := func(who string, token string, want bool) {
			t.Helper()
			for _, method := range []string{http.MethodHead, http.MethodGet} {
				a := r.do(method, path, token, nil)
				if got := a.status == http.StatusOK; got != want || !want && a.status != http.StatusNotFound {
					t.Errorf("%s %s: %d, want the file: %v", who, method, a.status, want)
				}
			}
		}
		image := func(conv chat.ConversationID) chat.Command {
			return cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
				Parts: []chat.Part{{Kind: chat.PartImage, SHA256: shaOf(png)}}})
		}
		if a := r.do(http.MethodPut, path, ben.Token, png); a.status != http.StatusCreated {
			t.Fatalf("upload: %d %s", a.status, a.body)
		}
		has("who brought it", ben.Token, true)
		has("the owner, before it is sent", r.owner.Token, false)
		r.apply(ben.Token, image(conv), nil)
		has("the owner", r.owner.Token, true)
		has("another brand", ana.Token, false)

		if p := r.refuse(ana.Token, image(other.conv), chat.CodeInvalid); p.Field != "parts.0.sha256" {
			t.Errorf("sending a foreign file: %+v", p)
		}
		send := func(v *visitor) answer {
			return r.do(http.MethodPost, "/v1/visitor/messages", v.token, map[string]any{"id": chat.NewID[chat.Message](), "text": "",
				"files": []map[string]any{{"sha256": shaOf(png), "name": "x.png"}}})
		}
		if a := r.do(http.MethodHead, "/v1/visitor"+path[3:], other.token, nil); a.status != http.StatusNotFound {
			t.Errorf("a foreign visitor's HEAD: %d", a.status)
		}
		if a := send(other); a.status != http.StatusBadRequest || a.problem(t).Field != "files.0.sha256" {
			t.Errorf("a foreign visitor sends it: %d %s", a.status, a.body)
		}
		if a := r.do(http.MethodHead, "/v1/visitor"+path[3:], v.token, nil); a.status != http.StatusOK {
			t.Errorf("the visitor of the thread: %d", a.status)
		}
		if a := send(v); a.status != http.StatusOK {
			t.Errorf("the visitor sends it back: %d %s", a.status, a.body)
		}

		// Bringing it is proof; anything else of the same length is not.
		wrong := append([]byte{}, png...)
		wrong[len(wrong)-1]++
		if p := r.do(http.MethodPut, path, ana.Token, wrong).problem(t); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong content: %+v", p)
		}
		has("another brand, after a wrong content", ana.Token, false)
		piece := func(from, to int) answer {
			return r.do(http.MethodPut, path, ana.Token, png[from:to], "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(png)))
		}
		if a := piece(len(png)-1, len(png)); a.status != 308 || a.header.Get("Range") != "" {
			t.Errorf("the last byte alone: %d %q", a.status, a.header.Get("Range"))
		}
		if a := piece(0, 100); a.status != 308 || a.header.Get("Range") != "bytes=0-99" {
			t.Errorf("the first piece: %d %q", a.status, a.header.Get("Range"))
		}
		if a := r.do(http.MethodPut, path, ana.Token, nil, "Content-Range", fmt.Sprintf("bytes */%d", len(png))); a.status != 308 || a.header.Get("Range") != "bytes=0-99" {
			t.Errorf("asking how far: %d %q", a.status, a.header.Get("Range"))
		}
		has("another brand, half way", ana.Token, false)
		if a := piece(100, len(png)); a.status != http.StatusCreated {
			t.Errorf("the rest: %d %s", a.status, a.body)
		}
		has("another brand, having brought it", ana.Token, true)
		r.apply(ana.Token, image(other.conv), nil)
		if a := r.do(http.MethodPut, "/v1/visitor"+path[3:], other.token, png); a.status != http.StatusCreated {
			t.Errorf("a visitor brings it: %d %s", a.status, a.body)
		}
	})
}

// TestALongNameKeepsItsEnding: file systems count characters where we count
// bytes, so a name that a customer's has no trouble with is long here.
func TestALongNameKeepsItsEnding(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	conv, v := r.conversation()
	name := strings.Repeat("報", 100) + ".png"
	named := func(what, got string) {
		t.Helper()
		if !strings.HasPrefix(got, "報報報") || !strings.HasSuffix(got, "報.png") || len(got) > 200 {
			t.Errorf("%s is called %q", what, got)
		}
	}
	for path, token := range map[string]string{"/v1/files/": r.owner.Token, "/v1/visitor/files/": v.token} {
		var f chat.File
		a := r.do(http.MethodPut, path+shaOf(png), token, png, "X-Filename", url.PathEscape(name))
		if a.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		a.into(t, &f)
		named(path, f.Name)
	}
	var m chat.Message
	r.apply(r.owner.Token, cmd(protocol.MessageSend, protocol.MessageSendArgs{Conversation: conv, Message: chat.NewID[chat.Message](),
		Parts: []chat.Part{{Kind: chat.PartImage, SHA256: shaOf(png), Name: name}}}), &m)
	named("the member's file", m.Parts[0].Name)
	a := r.do(http.MethodPost, "/v1/visitor/messages", v.token, protocol.VisitorSend{ID: chat.NewID[chat.Message](),
		Files: []protocol.VisitorFile{{SHA256: shaOf(png), Name: name}}})
	if a.status != http.StatusOK {
		t.Fatalf("the customer's message: %d %s", a.status, a.body)
	}
	var sent protocol.VisitorSent
	a.into(t, &sent)
	named("the customer's file", sent.Message.Parts[0].Name)
}

func TestAConditionThatDoesNotHoldIsAProblem(t *testing.T) {
	r := newRig(t, onSQLite(t))
	_, v := r.conversation()
	path := "/v1/files/" + shaOf(png)
	if a := r.do(http.MethodPut, path, r.owner.Token, png); a.status != http.StatusCreated {
		t.Fatalf("upload: %d", a.status)
	}
	if a := r.do(http.MethodPut, "/v1/visitor"+path[3:], v.token, png); a.status != http.StatusCreated {
		t.Fatalf("the visitor's upload: %d", a.status)
	}
	if a := r.do(http.MethodPost, "/v1/visitor/messages", v.token, protocol.VisitorSend{ID: chat.NewID[chat.Message](),
		Files: []protocol.VisitorFile{{SHA256: shaOf(png), Name: "a.png"}}}); a.status != http.StatusOK {
		t.Fatalf("the visitor's message: %d %s", a.status, a.body)
	}
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"If-Match", `"another"`, http.StatusPreconditionFailed}, {"Range", "bytes=1000000-", http.StatusRequestedRangeNotSatisfiable},
	} {
		for path, token := range map[string]string{path: r.owner.Token, "/v1/visitor" + path[3:]: v.token} {
			a := r.do(http.MethodGet, path, token, nil, c.header, c.value)
			if p := a.problem(t); p.Status != c.status || p.Field != c.header || a.header.Get("Content-Disposition") != "" {
				t.Errorf("%s with %s: %+v", path, c.header, p)
			}
		}
	}
}
