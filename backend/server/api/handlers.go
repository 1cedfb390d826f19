package api

import (
	"net/http"
	"strconv"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/search"
	"parley/backend/server/inbox"
)

func (a *API) healthz(w http.ResponseWriter, _ *http.Request, _ inbox.Principal) error {
	return plain(w, "alive\n")
}

func (a *API) readyz(w http.ResponseWriter, r *http.Request, _ inbox.Principal) error {
	if a.draining.Load() {
		return chat.Errorf(chat.CodeUnavailable, "The server is shutting down.")
	}
	if err := a.inbox.Ready(r.Context()); err != nil {
		return &chat.Error{Code: chat.CodeUnavailable, Message: "The database does not answer.", Cause: err}
	}
	return plain(w, "ready\n")
}

func plain(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(text)) // the caller may have gone
	return nil
}

func (a *API) openapi(w http.ResponseWriter, _ *http.Request, _ inbox.Principal) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(a.document) // the caller may have gone
	return nil
}

func (a *API) postSetup(w http.ResponseWriter, r *http.Request, _ inbox.Principal) error {
	var req protocol.Setup
	if err := decode(w, r, &req); err != nil {
		return err
	}
	created, err := a.setup(r.Context(), req)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, created)
}

func (a *API) postSession(w http.ResponseWriter, r *http.Request, _ inbox.Principal) error {
	var req protocol.SignIn
	if err := decode(w, r, &req); err != nil {
		return err
	}
	in, err := a.inbox.SignIn(r.Context(), req, a.address(r))
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, in)
}

func (a *API) deleteSession(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	if err := a.inbox.SignOut(r.Context(), who); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) getSessions(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	list, err := a.inbox.Sessions(r.Context(), who)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, list)
}

func (a *API) deleteOtherSession(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	id, err := pathID[chat.Session](r)
	if err != nil {
		return err
	}
	if err := a.inbox.RevokeSession(r.Context(), who, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) postCommands(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	var req protocol.Commands
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if len(req.Commands) == 0 {
		return chat.Invalid("commands", "At least one command is wanted.")
	}
	if len(req.Commands) > protocol.MaxCommands {
		return chat.Invalid("commands", "At most %d commands go in one request.", protocol.MaxCommands)
	}
	if err := a.checkEpoch(query(r), who); err != nil {
		return err
	}
	results, err := a.inbox.Do(r.Context(), who.Workspace, who.Member.ID, req.Commands)
	if err != nil {
		return err
	}
	for i, res := range results {
		a.metrics.judged(req.Commands[i].Kind, res)
	}
	return answer(w, http.StatusOK, protocol.Results{Results: results})
}

func (a *API) getChanges(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	after := q.number("after", -1, 0, 1<<53)
	limit := q.number("limit", protocol.MaxChanges, 1, protocol.MaxChanges)
	epoch := q.text("epoch")
	if q.err != nil {
		return q.err
	}
	if after < 0 {
		return chat.Invalid("after", "The position to go on from is missing.")
	}
	page, err := a.inbox.Changes(r.Context(), who.Workspace, who.View(), after, int(limit), epoch)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, page)
}

// checkEpoch answers a client that follows another log, before it takes what it
// reads for a part of that.
func (a *API) checkEpoch(q *params, who inbox.Principal) error {
	epoch := q.text("epoch")
	if q.err != nil {
		return q.err
	}
	return a.inbox.CheckEpoch(q.r.Context(), who.Workspace, epoch)
}

func (a *API) getConversations(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	f := inbox.ConversationFilter{Brand: queryID[chat.Brand](q, "brand"), Channel: queryID[chat.Channel](q, "channel"),
		Contact: queryID[chat.Contact](q, "contact"), Assignee: queryID[chat.Member](q, "assignee"),
		Status: chat.Status(q.text("status")), State: chat.HandoffState(q.text("state")),
		Unread: q.flag("unread"), Unassigned: q.flag("unassigned"), Query: q.text("q")}
	switch f.Status {
	case "", chat.StatusOpen, chat.StatusResolved, chat.StatusClosed:
	case "done":
		f.Status, f.Done = "", true
	default:
		return chat.Invalid("status", "One of open, resolved, closed, done is wanted.")
	}
	switch q.text("order") {
	case "", "newest":
	case "oldest":
		f.Oldest = true
	default:
		return chat.Invalid("order", "One of newest, oldest is wanted.")
	}
	switch f.State {
	case "", chat.StateAssistant, chat.StateEscalated, chat.StateRequested, chat.StateAgent, chat.StatePaused, chat.StateClosed:
	default:
		return chat.Invalid("state", "One of assistant, escalated, requested, agent, paused, closed is wanted.")
	}
	return a.listConversations(w, r, who, q, f)
}

func (a *API) getSearch(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	typed, cursor, limit := q.text("q"), q.text("cursor"), q.number("limit", 50, 1, 200)
	if err := a.checkEpoch(q, who); err != nil {
		return err
	}
	if typed == "" {
		return chat.Invalid("q", "Type something to look for.")
	}
	page, err := a.inbox.Search(r.Context(), who, search.Parse(typed, time.UTC), cursor, int(limit))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, page)
}

func (a *API) listConversations(w http.ResponseWriter, r *http.Request, who inbox.Principal, q *params, f inbox.ConversationFilter) error {
	cursor, limit, with := q.text("cursor"), q.number("limit", 50, 1, 200), queryIDs[chat.Conversation](q, "with")
	if err := a.checkEpoch(q, who); err != nil {
		return err
	}
	page, err := a.inbox.Conversations(r.Context(), who, f, cursor, int(limit), with)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, page)
}

func (a *API) getConversation(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	id, err := pathID[chat.Conversation](r)
	if err != nil {
		return err
	}
	if err := a.checkEpoch(query(r), who); err != nil {
		return err
	}
	c, err := a.inbox.Conversation(r.Context(), who, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, c)
}

func (a *API) getMessages(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	id, err := pathID[chat.Conversation](r)
	if err != nil {
		return err
	}
	q := query(r)
	before, after, around := q.number("before", 0, 1, 1<<53), q.number("after", -1, 0, 1<<53), q.number("around", 0, 1, 1<<53)
	limit := q.number("limit", 50, 1, 200)
	if err := a.checkEpoch(q, who); err != nil {
		return err
	}
	named := 0
	for _, name := range []string{"before", "after", "around"} {
		if r.URL.Query().Has(name) {
			named++
		}
	}
	if named > 1 {
		return chat.Invalid("before", "Only one of before, after and around may be given.")
	}
	switch {
	case after == 0: // from the very beginning
		before = limit + 1
	case after < 0:
		after = 0
	}
	page, err := a.inbox.Messages(r.Context(), who, id, before, after, around, int(limit))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, page)
}

func (a *API) getContact(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	id, err := pathID[chat.Contact](r)
	if err != nil {
		return err
	}
	c, err := a.inbox.Contact(r.Context(), who, id)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, c)
}

func (a *API) getContacts(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	q := query(r)
	text, cursor, limit := q.text("q"), q.text("cursor"), q.number("limit", 50, 1, 200)
	if q.err != nil {
		return q.err
	}
	page, err := a.inbox.Contacts(r.Context(), who, text, cursor, int(limit))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, page)
}

func (a *API) getMembers(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	list, err := a.inbox.Members(r.Context(), who.Workspace)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, protocol.Members{Members: list})
}

func (a *API) postMember(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	var req protocol.MemberAdd
	if err := decode(w, r, &req); err != nil {
		return err
	}
	m, err := a.inbox.AddMember(r.Context(), who.Workspace, authorOf(who), req)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, m)
}

func (a *API) patchMember(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	id, err := pathID[chat.Member](r)
	if err != nil {
		return err
	}
	var req protocol.MemberUpdate
	if err := decode(w, r, &req); err != nil {
		return err
	}
	m, err := a.inbox.UpdateMember(r.Context(), who.Workspace, authorOf(who), id, req)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, m)
}

func authorOf(who inbox.Principal) inbox.Author {
	return inbox.Author{Actor: chat.MemberActor(who.Member.ID), Role: who.Member.Role, Brands: who.Member.Brands}
}

// pathID reads the {id} of the path. What is no id names nothing.
func pathID[E any](r *http.Request) (chat.ID[E], error) {
	id, err := chat.ParseID[E](r.PathValue("id"))
	if err != nil || id.IsZero() {
		return id, chat.Invalid("id", "The address contains no id: a UUID in its 36-character form is wanted.")
	}
	return id, nil
}

// params reads query parameters and keeps the first thing that is wrong.
type params struct {
	r   *http.Request
	err error
}

func query(r *http.Request) *params { return &params{r: r} }

func (p *params) text(name string) string {
	s := p.r.URL.Query().Get(name)
	if err := chat.CheckText(name, s, 4096); err != nil && p.err == nil {
		p.err = err
		return ""
	}
	return s
}

func (p *params) number(name string, absent, least, most int64) int64 {
	s := p.text(name)
	if s == "" {
		return absent
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		if p.err == nil {
			p.err = chat.Invalid(name, "A whole number from %d to %d is wanted.", least, most)
		}
		return absent
	}
	return n
}

func (p *params) flag(name string) bool {
	switch s := p.text(name); s {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	}
	if p.err == nil {
		p.err = chat.Invalid(name, "true or false is wanted.")
	}
	return false
}

func queryID[E any](p *params, name string) chat.ID[E] {
	var id chat.ID[E]
	s := p.text(name)
	if s == "" {
		return id
	}
	id, err := chat.ParseID[E](s)
	if err != nil && p.err == nil {
		p.err = chat.Invalid(name, "A UUID in its 36-character form is wanted.")
	}
	return id
}
