package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestNothingTooLongForASyncIsTaken: what no packet, frame or line can carry
// must not get into the log, or it would end every desktop's sync for good.
func TestNothingTooLongForASyncIsTaken(t *testing.T) {
	r := newRig(t, onSQLite(t)).unpaced()
	if a := r.do(http.MethodPut, "/v1/files/"+shaOf(png), r.owner.Token, png); a.status != http.StatusCreated {
		t.Fatalf("upload: %d %s", a.status, a.body)
	}
	long := func(n int) string { return strings.Repeat("<", n) } // six bytes each in our JSON
	v := r.visit(r.created.Channel.Key)
	a := r.do(http.MethodPost, "/v1/visitor/session", "", fmt.Sprintf(`{"channel":%q,"visitor_token":%q,"page":"https://shop.example/?%[3]s",
		"referrer":"https://shop.example/?%[3]s","utm":{"a":"%[3]s","b":"%[3]s","%[4]s":"%[3]s"},"language":"%[3]s","timezone":"%[3]s","profile":{"name":"%[4]s"}}`,
		r.created.Channel.Key, strings.TrimPrefix(v.token, "Visitor "), strings.Repeat("&", 60<<10), long(60)))
	if a.status != http.StatusOK {
		t.Fatalf("a talkative page: %d %s", a.status, clip(a.body))
	}
	v.say("Hello?")
	var of chat.Conversation
	r.get("/v1/conversations/"+v.conv.String(), r.owner.Token, &of)

	message := func(rest string) string {
		return `{"conversation":"` + v.conv.String() + `","message":"` + chat.NewID[chat.Message]().String() + `",` + rest + `}`
	}
	parts := func(part string, n int) string {
		return message(`"parts":[` + strings.Repeat(part+",", n-1) + part + `]`)
	}
	link := func(url, title string) string {
		return `{"kind":"link","url":"https://shop.example/` + url + `","title":"` + title + `"}`
	}
	voice := func(rest string) string { return `{"kind":"voice","sha256":"` + shaOf(png) + `",` + rest + `}` }
	contact := `{"contact":"` + of.Contact.String() + `","`
	channel := `{"channel":"` + r.created.Channel.ID.String() + `","`
	for _, c := range []struct {
		name, kind, args string
		code             chat.Code // "" when it is taken
		field            string
	}{
		{"titles of links", "message.send", parts(link("", long(64<<10)), 15), chat.CodeTooLarge, "parts"},
		{"titles as long as a text may be", "message.send", parts(link("", long(690)), 14), "", ""},
		{"addresses of links", "message.send", parts(link(long(50<<10), ""), 15), chat.CodeTooLarge, "parts"},
		{"places", "message.send", parts(`{"kind":"location","title":"`+long(50<<10)+`"}`, 15), chat.CodeTooLarge, "parts"},
		{"names of files", "message.send", parts(voice(`"name":"`+long(50<<10)+`"`), 15), "", ""}, // cut
		{"transcripts", "message.send", parts(voice(`"transcript":"`+long(50<<10)+`"`), 15), chat.CodeTooLarge, "parts"},
		{"states", "message.send", parts(voice(`"state":"`+long(50<<10)+`"`), 15), chat.CodeTooLarge, "parts"},
		{"peaks", "message.send", parts(voice(`"peaks":"`+base64.StdEncoding.EncodeToString(make([]byte, 600<<10))+`"`), 1), chat.CodeTooLarge, "parts"},
		{"a comment", "comment.add", message(`"text":"` + long(64<<10) + `"`), chat.CodeTooLarge, "text"},
		{"a comment as long as a text may be", "comment.add", message(`"text":"` + strings.Repeat("x", 64<<10) + `"`), "", ""},
		{"a draft", "draft.put", message(`"text":"` + long(64<<10) + `"`), chat.CodeTooLarge, "text"},
		{"a draft as long as a text may be", "draft.put", message(`"text":"` + strings.Repeat("x", 64<<10) + `"`), "", ""},
		{"a contact's name", "contact.update", contact + `name":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "name"},
		{"a contact's e-mail", "contact.update", contact + `email":"a@` + long(60<<10) + `"}`, chat.CodeTooLarge, "email"},
		{"a contact's phone", "contact.update", contact + `phone":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "phone"},
		{"a contact's name as long as may be", "contact.update", contact + `name":"` + long(400) + `"}`, "", ""},
		{"a channel's greeting", "channel.put", channel + `greeting":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "greeting"},
		{"a channel's title", "channel.put", channel + `title":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "title"},
		{"a channel's origins", "channel.put", channel + `origins":["https://` + strings.Repeat("x", 60<<10) + `"]}`, chat.CodeInvalid, "origins.0"},
		{"a member's name", "me.put", `{"name":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "name"},
		{"a member's language", "me.put", `{"language":"` + long(60<<10) + `"}`, chat.CodeTooLarge, "language"},
	} {
		var out protocol.Results
		a := r.do(http.MethodPost, "/v1/commands", r.owner.Token, // as it is: our encoder would make too much of it
			`{"commands":[{"id":"`+chat.NewID[chat.Command]().String()+`","kind":"`+c.kind+`","args":`+c.args+`}]}`)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", c.name, a.status, clip(a.body))
		}
		a.into(t, &out)
		switch p := out.Results[0].Problem; {
		case c.code == "" && p != nil, c.code != "" && (p == nil || p.Code != c.code || p.Field != c.field):
			t.Errorf("%s: %+v, want %q field %q", c.name, p, c.code, c.field)
		}
	}
	for name, c := range map[string]struct{ path, token, body, field string }{
		"a customer's text": {"/v1/visitor/messages", v.token, `{"id":"` + chat.NewID[chat.Message]().String() + `","text":"` + long(60<<10) + `"}`, "text"},
		"a new member's name": {"/v1/members", r.owner.Token, `{"name":"` + long(60<<10) + `","email":"a@b.example","role":"agent","password":"` + password + `"}`,
			"name"},
	} {
		if p := r.do(http.MethodPost, c.path, c.token, c.body).problem(t); p.Code != chat.CodeTooLarge || p.Field != c.field {
			t.Errorf("%s: %+v", name, p)
		}
	}
	v.say(long(10_000))
	r.syncs()
}

// syncs lets a client of ours read everything there is, in each way there is.
func (r *rig) syncs() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := protocol.NewClient(r.base, r.owner.Token, "test")
	if err != nil {
		r.Fatal(err)
	}
	defer client.Close()
	rows := 0
	if _, err := client.Bootstrap(ctx, 30, "", protocol.Rows{Line: func(protocol.BootstrapLine) error { rows++; return nil }}); err != nil || rows == 0 {
		r.Errorf("bootstrap: %d rows, %v", rows, err)
	}
	head := r.head()
	for after := int64(0); after < head; {
		page, err := client.Changes(ctx, "", after)
		if err != nil {
			r.Fatalf("changes after %d: %v", after, err)
		}
		for _, c := range page.Changes {
			if raw, err := json.Marshal(c); err != nil || len(raw) > protocol.MaxPacketBytes/2 {
				r.Errorf("change %d, a %s, has %d bytes: %v", c.Seq, c.Kind, len(raw), err)
			}
		}
		after = page.To
	}
	live, err := client.Dial(ctx, 0, "")
	if err != nil {
		r.Fatal(err)
	}
	defer live.Abandon()
	for at := int64(0); at < head; {
		f, err := live.Read()
		if err != nil {
			r.Fatalf("live after %d: %v", at, err)
		}
		at = max(at, f.To)
	}
}
