package server_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/inbox"
)

// watch opens the visitor's live socket after a message number.
func (v *visitor) watch(after int64) *websocket.Conn {
	v.r.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(v.r.base, "http")+"/v1/visitor/live", nil)
	if err != nil {
		v.r.Fatal(err)
	}
	v.r.Cleanup(func() { conn.Close() })
	if err := conn.WriteJSON(protocol.VisitorFrame{Type: protocol.FrameHello, Token: strings.TrimPrefix(v.token, "Visitor "), After: after}); err != nil {
		v.r.Fatal(err)
	}
	return conn
}

// wait reads frames until one of the type.
func (v *visitor) wait(conn *websocket.Conn, kind protocol.FrameType) protocol.VisitorFrame {
	v.r.Helper()
	for {
		var f protocol.VisitorFrame
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if err := conn.ReadJSON(&f); err != nil {
			v.r.Fatalf("wait for %s: %v", kind, err)
		}
		if f.Type == kind {
			return f
		}
	}
}

func TestTheCustomerSeesTheAnswerAndTheAgentSeesItWasRead(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, v := r.conversation()
		conn := v.watch(1)
		v.wait(conn, protocol.FrameWelcome)
		l := r.join(r.owner.Token, r.head())
		l.put(map[string]any{"type": "typing", "conversation": conv})
		if f := v.wait(conn, protocol.FrameTyping); f.Name != "Olga" || f.TTL == 0 {
			t.Fatalf("typing %+v", f)
		}
		r.apply(r.owner.Token, cmd(protocol.CommentAdd, protocol.CommentAddArgs{Conversation: conv, Message: chat.NewID[chat.Message](), Text: "secret"}), nil)
		var sent chat.Message
		r.apply(r.owner.Token, text(conv, "Here you are"), &sent)
		f := v.wait(conn, protocol.FrameMessage)
		if f.Message == nil || f.Message.Parts[0].Text != "Here you are" || f.Message.Number != 3 {
			t.Fatalf("message %+v", f.Message)
		}
		if err := conn.WriteJSON(protocol.VisitorFrame{Type: protocol.FrameRead, Upto: 3}); err != nil {
			t.Fatal(err)
		}
		for read := false; !read; {
			for _, c := range l.packet(l.skipTo(protocol.FrameChanges)) {
				read = read || c.Kind == chat.EntityMessage && strings.Contains(string(c.Data), `"state":"read"`) && c.ID == sent.ID.String()
			}
		}
		r.apply(r.owner.Token, cmd(protocol.ConversationResolve, map[string]any{"conversation": conv}), nil)
		for f := v.wait(conn, protocol.FrameState); f.Status != chat.StatusResolved; {
			f = v.wait(conn, protocol.FrameState)
		}
	})
}

// skipTo reads until a frame of the type, without looking at packets itself.
func (l *live) skipTo(kind protocol.FrameType) frame {
	l.t.Helper()
	for {
		if f := l.next(); f.Type == kind {
			return f
		}
	}
}

// restart ends the server and starts another on the same data.
func (r *rig) restart(c server.Config) {
	r.Helper()
	if err := r.srv.Shutdown(context.Background()); err != nil {
		r.Fatal(err)
	}
	srv, err := server.New(context.Background(), server.Config{Listen: "127.0.0.1:0", Data: c.Data, Database: c.Database,
		Log: slog.New(slog.DiscardHandler), Now: r.clock.now, VisitorLimits: plenty()})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	if err := srv.Start(); err != nil {
		r.Fatal(err)
	}
	r.srv, r.base = srv, "http://"+srv.Addr()
}

// TestWhereAVisitorCameFromOutlivesTheProcess: what the widget says on opening
// is in the contact and the conversation that the first message makes, however
// much later that is.
func TestWhereAVisitorCameFromOutlivesTheProcess(t *testing.T) {
	for name, on := range map[string]func(testing.TB) server.Config{"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			c := on(t)
			r := newRig(t, c)
			open := func(s protocol.VisitorSession) *visitor {
				s.Channel = r.created.Channel.Key
				a := r.do(http.MethodPost, "/v1/visitor/session", "", s)
				var out protocol.VisitorSessionAnswer
				a.into(t, &out)
				return &visitor{r: r, token: "Visitor " + out.VisitorToken}
			}
			v := open(protocol.VisitorSession{Page: "https://shop.example/mugs", Referrer: "https://search.example/", UTM: map[string]string{"utm_source": "news"}, Language: "de"})
			r.restart(c)
			// A later visit adds to it; the page that brought the visitor stays.
			again := open(protocol.VisitorSession{VisitorToken: strings.TrimPrefix(v.token, "Visitor "), Page: "https://shop.example/cart",
				Profile: &protocol.VisitorProfile{Name: "Lucía", Email: "lucia@shop.example"}})
			if again.token != v.token {
				t.Fatal("the visitor is another one after the restart")
			}
			r.restart(c)
			v.say("Hello?")
			var conv chat.Conversation
			r.get("/v1/conversations/"+v.conv.String(), r.owner.Token, &conv)
			if o := conv.Origin; o == nil || o.Page != "https://shop.example/mugs" || o.Referrer != "https://search.example/" || o.UTM["utm_source"] != "news" {
				t.Errorf("origin %+v", o)
			}
			var who chat.Contact
			r.get("/v1/contacts/"+conv.Contact.String(), r.owner.Token, &who)
			if who.Name != "Lucía" || who.Email != "lucia@shop.example" || who.Language != "de" {
				t.Errorf("contact %+v", who)
			}
		})
	}
}

// TestTheCustomerSeesWhatWasRead: the receipt follows the company's read
// position, forward only, and is there on a new connection.
func TestTheCustomerSeesWhatWasRead(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		conv, v := r.conversation()
		conn := v.watch(0)
		v.wait(conn, protocol.FrameWelcome)
		v.say("Anybody there?")
		read := func(kind string, args protocol.ReadArgs) {
			args.Conversation = conv
			r.apply(r.owner.Token, cmd(kind, args), nil)
		}
		read(protocol.ConversationRead, protocol.ReadArgs{Upto: 1})
		if f := v.wait(conn, protocol.FrameRead); f.Upto != 1 {
			t.Fatalf("read %+v", f)
		}
		read(protocol.ConversationUnread, protocol.ReadArgs{From: 1})
		read(protocol.ConversationRead, protocol.ReadArgs{Upto: 2})
		if f := v.wait(conn, protocol.FrameRead); f.Upto != 2 {
			t.Fatalf("read %+v", f)
		}
		if f := v.wait(v.watch(2), protocol.FrameRead); f.Upto != 2 {
			t.Fatalf("read on a new connection: %+v", f)
		}
	})
}

func TestEverythingOutlivesTheProcess(t *testing.T) {
	c := onSQLite(t)
	r := newRig(t, c)
	conv, v := r.conversation()
	sent := seen(text(conv, "Hi"), 1)
	first := r.send(r.owner.Token, sent)[0]
	r.restart(c)
	if again := r.send(r.owner.Token, sent)[0]; again.Status != protocol.StatusDuplicate || again.Seq != first.Seq {
		t.Fatalf("after a restart: %+v", again)
	}
	v.saying("still me")
	thread := r.thread(conv)
	if len(thread) != 3 || thread[2].Text() != "still me" || thread[2].Author != thread[0].Author {
		t.Fatalf("thread %+v", thread)
	}
	if a := r.do(http.MethodPost, "/v1/visitor/messages", "Visitor unknown", protocol.VisitorSend{ID: chat.NewID[chat.Message](), Text: "x"}); a.status != http.StatusUnauthorized {
		t.Fatalf("an unknown visitor: %d", a.status)
	}
}

func TestAnAnonymousVisitorWhoSignsInStaysTheSame(t *testing.T) {
	r := newRig(t, onSQLite(t))
	ctx := context.Background()
	ws, ch, err := r.srv.Inbox().ChannelByKey(ctx, r.created.Channel.Key)
	if err != nil {
		t.Fatal(err)
	}
	_, v := r.conversation()
	mac := hmac.New(sha256.New, []byte(ch.Secret))
	mac.Write([]byte("user-9"))
	a := r.do(http.MethodPost, "/v1/visitor/session", "", protocol.VisitorSession{Channel: ch.Key, VisitorToken: strings.TrimPrefix(v.token, "Visitor "),
		Profile: &protocol.VisitorProfile{UserID: "user-9", UserHash: hex.EncodeToString(mac.Sum(nil)), Name: "Nina"}})
	var out protocol.VisitorSessionAnswer
	a.into(t, &out)
	if out.Conversation != v.conv {
		t.Fatalf("the thread is lost: %+v", out)
	}
	var c chat.Conversation
	r.get("/v1/conversations/"+v.conv.String(), r.owner.Token, &c)
	var contact chat.Contact
	r.get("/v1/contacts/"+c.Contact.String(), r.owner.Token, &contact)
	if !contact.Verified || contact.Name != "Nina" || len(contact.Identities) != 2 {
		t.Fatalf("contact %+v", contact)
	}
	// Somebody else signs in on the same browser: not the same person.
	other, token, err := r.srv.Inbox().OpenVisitor(ctx, inbox.OpenVisitor{Workspace: ws, Channel: ch, Token: strings.TrimPrefix(v.token, "Visitor "), Verified: true,
		Profile: &protocol.VisitorProfile{UserID: "user-10"}})
	if err != nil || token == "" || other.Contact == c.Contact || !other.Conversation.IsZero() {
		t.Fatalf("another user got %+v %v", other, err)
	}
	if name := r.srv.Inbox().BrandName(ctx, ws, ch.Brand); name != "Northwind" {
		t.Errorf("brand name %q", name)
	}
	if name := r.srv.Inbox().MemberName(ctx, ws, r.owner.Member.ID.String()); name != "Olga" {
		t.Errorf("member name %q", name)
	}
}

func TestAVendorsMessageIsAppliedOnce(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		ctx := context.Background()
		ws, ch, err := r.srv.Inbox().ChannelByKey(ctx, r.created.Channel.Key)
		if err != nil {
			t.Fatal(err)
		}
		in := inbox.Inbound{Workspace: ws, Channel: ch, Address: "+15550001", RemoteID: "wamid.1", Parts: []chat.Part{chat.TextPart("Hi")}, SentAt: r.clock.now().Add(-time.Hour)}
		first, conv, err := r.srv.Inbox().Deliver(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := r.srv.Inbox().Deliver(ctx, in)
		if err != nil || again.ID != first.ID {
			t.Fatalf("a redelivery: %v %v", again.ID, err)
		}
		in.RemoteID = "wamid.2"
		second, same, err := r.srv.Inbox().Deliver(ctx, in)
		if err != nil || same.ID != conv.ID || second.Number != 2 || second.SentAt != in.SentAt || second.StoredAt == in.SentAt {
			t.Fatalf("the next one: %+v in %v, %v", second, same.ID, err)
		}
		in.RemoteID = ""
		if _, _, err := r.srv.Inbox().Deliver(ctx, in); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Fatalf("a message without any id: %v", err)
		}
	})
}

// TestSocketsNoticeALogThatWasTrimmed: an import by another process puts the
// head far ahead without a single change to follow.
func TestSocketsNoticeALogThatWasTrimmed(t *testing.T) {
	c := onSQLite(t)
	r := newRig(t, c)
	l := r.join(r.owner.Token, r.head())
	st := demoServer(t, c.Data, demo.Generate(demo.Options{Conversations: 5, Messages: 20, Seed: 3, Now: r.clock.now()}))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	f := l.want(protocol.FrameBehind)
	if f.Head == nil || *f.Head <= l.pos {
		t.Fatalf("behind %+v at position %d", f, l.pos)
	}
	l.pos = *f.Head
	conv, _ := r.conversation()
	res := r.apply(r.owner.Token, text(conv, "and it goes on"), nil)
	l.upto(res.Seq)
}
