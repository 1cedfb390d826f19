package server_test

import (
	"fmt"
	"net/http"
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
