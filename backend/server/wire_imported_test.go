package server_test

import (
	"context"
	"fmt"
	"log/slog"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
	"parley/backend/server/store"
)

// wireImported: entities with everything that they can hold, also what no
// command puts there yet.
func wireImported(w *wire, c server.Config) {
	w.start(c)
	before := w.head()
	all := imported(w.created.Brand, w.owner.Member.ID, w.clock.now())
	w.hideChannel(protocol.CreatedChannel{Key: all.channels[0].Key, Slug: all.channels[0].Slug})
	all.bring(w, c)

	tok := w.owner.Token
	w.problem("far_behind", chat.CodeFarBehind, get, fmt.Sprintf("/v1/changes?after=%d", before), tok, nil)
	w.read("state", fmt.Sprintf("/v1/state?after=%d&days=36500", before))
	full := all.threads[0].conversation
	w.read("conversation", "/v1/conversations/"+full.ID.String())
	w.read("conversations", "/v1/conversations?channel="+full.Channel.String()+"&state=assistant")
	w.read("contact", "/v1/contacts/"+full.Contact.String())
	w.read("messages", "/v1/conversations/"+full.ID.String()+"/messages")
	var in protocol.VisitorSessionAnswer
	w.ask("visitor_session", post, "/v1/visitor/session", "", protocol.VisitorSession{Channel: all.channels[0].Key,
		Profile: &protocol.VisitorProfile{UserID: "zoe", UserHash: w.proof(all.channels[0].Key, "zoe")}}).into(w, &in)
	w.ask("visitor_messages", get, "/v1/visitor/messages?after=0", "Visitor "+in.VisitorToken, nil)
	w.refusal("blocked_contact", tok, text(full.ID, "Hi"), chat.CodeBlocked)
	for _, t := range all.threads {
		if t.conversation.Status == chat.StatusClosed {
			w.refusal("closed", tok, cmd(protocol.ConversationResolve, protocol.ConversationArgs{Conversation: t.conversation.ID}), chat.CodeClosed)
		}
	}
}

// importedSet is what wireImported brings in.
type importedSet struct {
	channels []chat.Channel
	member   chat.Member
	contact  chat.Contact
	file     chat.File
	threads  []importedThread
}

type importedThread struct {
	conversation chat.Conversation
	messages     []chat.Message
}

// imported makes a channel of each kind, a conversation in each state, and a
// thread with a message of each sort.
func imported(brand chat.BrandID, member chat.MemberID, now chat.Time) importedSet {
	s := importedSet{file: chat.File{SHA256: shaOf(png), Name: "a.png", Type: "image/png", Size: int64(len(png))}}
	for i, kind := range []chat.ChannelKind{chat.KindWeb, chat.KindWhatsApp, chat.KindInstagram, chat.KindMessenger, chat.KindFacebook,
		chat.KindTelegram, chat.KindEmail, chat.KindShopify, chat.KindGeneric} {
		ch := chat.Channel{ID: chat.NewID[chat.Channel](), Brand: brand, Kind: kind, Name: string(kind)}
		if i == 0 {
			ch.Key, ch.Slug, ch.Secret = "pk_imported", "imported", "secret"
			ch.Settings = chat.ChannelSettings{Origins: []string{"https://shop.example"}, Title: "Help", Greeting: "Hello!", Color: "#0f766e", Language: "de",
				Theme: "dark", AskName: true, AskEmail: true, Suggested: []string{"Where is my order?"}, Receipts: "off"}
		}
		s.channels = append(s.channels, ch)
	}
	s.member = chat.Member{ID: chat.NewID[chat.Member](), Name: "Sue", Email: "sue@northwind.example", Role: chat.RoleSupervisor, Brands: []chat.BrandID{brand},
		Disabled: true, Settings: chat.MemberSettings{ReadMode: "on_open", SendKey: "enter", Language: "en"}}
	s.contact = chat.Contact{ID: chat.NewID[chat.Contact](), Brand: brand, Name: "Zoë", Email: "zoe@example.org", Phone: "+49 30 1234", Country: "DE", City: "Berlin",
		Language: "de", Timezone: "Europe/Berlin", Device: "Linux", Browser: "Firefox 140", Tags: []string{"regular"}, Blocked: true, Verified: true, CreatedAt: now}
	for i, ch := range s.channels {
		s.contact.Identities = append(s.contact.Identities, chat.Identity{ID: chat.NewID[chat.Identity](), Channel: ch.ID, Address: fmt.Sprintf("address-%d", i), Name: "zoe"})
	}
	s.contact.Identities[0].Address = "user:zoe" // who proves to be her on the web
	for i, state := range []chat.HandoffState{chat.StateAssistant, chat.StateEscalated, chat.StateRequested, chat.StateAgent, chat.StatePaused, chat.StateClosed} {
		conv := chat.NewConversation(chat.NewID[chat.Conversation](), s.channels[i], s.contact.ID, s.contact.Identities[i].ID, false, now)
		conv.State = state
		if state == chat.StateClosed {
			conv.Status = chat.StatusClosed
		}
		if i == 0 {
			s.threads = append(s.threads, fullThread(conv, member, now))
			continue
		}
		m := chat.Message{ID: chat.NewID[chat.Message](), Kind: chat.MessageKindMessage, Author: chat.CustomerActor(s.contact.ID),
			Parts: []chat.Part{chat.TextPart("Hello?")}, SentAt: now, StoredAt: now}
		conv.Append(&m)
		s.threads = append(s.threads, importedThread{conv, []chat.Message{m}})
	}
	return s
}

// fullThread is a thread with a message of each sort.
func fullThread(conv chat.Conversation, member chat.MemberID, now chat.Time) importedThread {
	assistant := chat.Actor{Kind: chat.ActorAssistant, ID: "assistant-1"}
	conv.Holder, conv.Assignee, conv.Tags = &chat.Holder{Kind: chat.ActorAssistant, ID: assistant.ID}, member, []string{"order"}
	conv.Priority, conv.CSAT, conv.Subject, conv.SeenByCustomer = 2, 5, "An order", 3
	conv.Origin = &chat.Origin{Page: "https://shop.example/mugs", Referrer: "https://search.example/", UTM: map[string]string{"utm_source": "news"}}
	t := importedThread{}
	add := func(author chat.Actor, m chat.Message) {
		m.ID, m.Author, m.SentAt, m.StoredAt = chat.NewID[chat.Message](), author, now, now
		if m.Kind == "" {
			m.Kind = chat.MessageKindMessage
		}
		if m.Parts == nil {
			m.Parts = []chat.Part{}
		}
		conv.Append(&m)
		t.messages = append(t.messages, m)
	}
	said := func(state chat.DeliveryState, cause string, parts ...chat.Part) chat.Message {
		return chat.Message{Parts: parts, Delivery: &chat.Delivery{State: state, Error: cause}}
	}
	add(chat.Actor{Kind: chat.ActorCustomer, ID: conv.Contact.String()}, chat.Message{Parts: everyPart(), EditedAt: now})
	add(assistant, said(chat.DeliveryRead, "", chat.TextPart("Hello")))
	add(chat.Actor{Kind: chat.ActorFlow, ID: "flow-1"}, said(chat.DeliveryDelivered, "", chat.Part{Kind: chat.PartTemplate, Name: "welcome", Text: "Welcome!"}))
	add(chat.MemberActor(member), said(chat.DeliverySent, "", chat.Part{Kind: chat.PartPaid, Price: 1250, Currency: "EUR", State: "locked", Title: "A picture"}))
	add(chat.MemberActor(member), said(chat.DeliveryQueued, "", chat.TextPart("Wait")))
	add(chat.MemberActor(member), said(chat.DeliveryFailed, "The number is not on this network.", chat.TextPart("Lost")))
	add(chat.MemberActor(member), chat.Message{DeletedAt: now})
	add(chat.MemberActor(member), chat.Message{Kind: chat.MessageKindComment, Parts: []chat.Part{chat.TextPart("A regular")}, Mentions: []chat.MemberID{member}})
	add(chat.SystemActor(), chat.Message{Kind: chat.MessageKindEvent, Event: &chat.Event{Name: "escalated", Member: member, Reason: "asked for a person"}})
	t.conversation = conv
	return t
}

// bring imports the set beside the running server, as another process does.
func (s importedSet) bring(w *wire, c server.Config) {
	w.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Data: c.Data, Database: c.Database, Now: w.clock.now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			w.Error(err)
		}
	}()
	err = st.Import(ctx, w.created.Workspace, func(imp *store.Importer) error {
		for _, ch := range s.channels {
			if err := imp.Channel(ch); err != nil {
				return err
			}
		}
		for _, err := range []error{imp.Member(s.member), imp.Contact(s.contact), imp.File(s.file)} {
			if err != nil {
				return err
			}
		}
		for _, t := range s.threads {
			if err := imp.Conversation(t.conversation); err != nil {
				return err
			}
			for _, m := range t.messages {
				if err := imp.Message(m); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}
