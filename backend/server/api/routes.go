package api

import (
	"net/http"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// Access says what a request must bring.
type Access string

// The kinds of access.
const (
	Public     Access = "public"      // nothing
	Member     Access = "member"      // a member's bearer token, and a role that may
	FirstFrame Access = "first_frame" // the same, in the header or the socket's first frame
	Visitor    Access = "visitor"     // a visitor's token; the channel checks it
)

// Route is one thing the server answers: who may ask, what comes in and what
// goes out. Body and Answer are values whose types describe the JSON.
type Route struct {
	Method  string
	Path    string
	Access  Access
	needs   chat.Action
	Summary string
	Query   []Param
	Headers []Param
	Body    any
	Status  int // of success
	Answer  any
	// Others are answers beside it that are no problem either.
	Others []Other
	// Frames are what a socket carries, in both directions.
	Frames []any
	// BodyType and AnswerType are set where it is not JSON.
	BodyType   string
	AnswerType string
	handle     func(http.ResponseWriter, *http.Request, inbox.Principal) error
}

// Other is an answer with a status of its own.
type Other struct {
	Status  int
	Meaning string
}

// Param is a parameter in the query or a header.
type Param struct {
	Name    string
	Kind    string // "integer", "string", "boolean", "uuid"
	Needed  bool
	Meaning string
}

func (r Route) key() string { return r.Method + " " + r.Path }

// Routes lists every route, for documentation and tests.
func (a *API) Routes() []Route { return a.routes }

var (
	paramCursor = Param{"cursor", "string", false, "Where to go on, from the answer before."}
	paramEpoch  = Param{"epoch", "string", false, "The epoch of the log that the position belongs to."}
	paramSame   = Param{"epoch", "string", false, "The epoch of the log that the client follows; 410 reset where there is another."}
	paramName   = Param{"name", "string", false, "What to call the file when it is saved."}
)

// ofUpload are the headers of an upload.
func ofUpload() []Param {
	return []Param{{"Content-Range", "string", false, "bytes FIRST-LAST/TOTAL for a piece; bytes */TOTAL without a body asks how far it got."},
		{"X-Filename", "string", false, "What the file is called, percent-encoded."}}
}

// anything is the type of what may be of any type.
const anything = "*/*"

// ofContent are the other answers to who reads content with Range or
// If-None-Match.
func ofContent() []Other {
	return []Other{{http.StatusPartialContent, "The part that Range asked for."}, unchanged}
}

var unchanged = Other{http.StatusNotModified, "Still what If-None-Match names."}

// table is every route of members and operators.
func (a *API) table() []Route {
	const get, post, put, del, patch, head = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead
	limit := func(meaning string) Param { return Param{"limit", "integer", false, meaning} }
	return []Route{
		{Method: get, Path: "/healthz", Access: Public, Summary: "Alive: the process answers.", Status: 200, AnswerType: "text/plain", handle: a.healthz},
		{Method: get, Path: "/readyz", Access: Public, Summary: "Ready: the database answers and the server is not draining.", Status: 200, AnswerType: "text/plain", handle: a.readyz},
		{Method: get, Path: "/metrics", Access: Public, Summary: "Figures for Prometheus.", Status: 200, AnswerType: "text/plain", handle: a.metrics.serve},
		{Method: get, Path: "/openapi.json", Access: Public, Summary: "This document.", Status: 200, AnswerType: "application/json", handle: a.openapi},

		{Method: post, Path: "/v1/setup", Access: Public, Summary: "Make the first workspace of an empty server, with the one-time token from its log.",
			Body: protocol.Setup{}, Status: 201, Answer: protocol.Created{}, handle: a.postSetup},
		{Method: post, Path: "/v1/session", Access: Public, Summary: "Sign in.", Body: protocol.SignIn{}, Status: 201, Answer: protocol.SignedIn{}, handle: a.postSession},
		{Method: del, Path: "/v1/session", Access: Member, needs: chat.ActRead, Summary: "Sign out.", Status: 204, handle: a.deleteSession},
		{Method: get, Path: "/v1/sessions", Access: Member, needs: chat.ActRead, Summary: "The member's signed-in devices.", Status: 200, Answer: protocol.Sessions{}, handle: a.getSessions},
		{Method: del, Path: "/v1/sessions/{id}", Access: Member, needs: chat.ActRead, Summary: "Sign another device of the member out, and have it forget everything.", Status: 204, handle: a.deleteOtherSession},

		{Method: get, Path: "/v1/changes", Access: Member, needs: chat.ActRead, Summary: "A page of the change log. 410 far_behind or reset when it cannot go on from there.",
			Query:  []Param{{"after", "integer", true, "The client's position."}, limit("At most so many changes, up to 1000."), paramEpoch},
			Status: 200, Answer: protocol.ChangesPage{}, handle: a.getChanges},
		{Method: get, Path: "/v1/state", Access: Member, needs: chat.ActRead, Summary: "What has changed since a position, as NDJSON: a head line, rows, and a last line with counts.",
			Query: []Param{{"after", "integer", true, "The client's position."}, paramCursor, paramEpoch,
				{"days", "integer", false, "The client's window."},
				{"buckets", "string", false, "Instead: all conversations of the window in these buckets of a digest, with commas between them."},
				{"since", "string", false, "When the window begins, instead of days before now."}, limit("End after about so many rows, with a cursor.")},
			Status: 200, Answer: protocol.BootstrapLine{}, AnswerType: ndjson, handle: a.getState},
		{Method: get, Path: "/v1/bootstrap", Access: Member, needs: chat.ActRead, Summary: "Everything an empty client needs, as NDJSON: a head line, rows, and a last line with counts.",
			Query:  []Param{{"days", "integer", false, "Conversations active in so many days; 30 when absent."}, paramCursor, paramEpoch, limit("End after about so many rows, with a cursor.")},
			Status: 200, Answer: protocol.BootstrapLine{}, AnswerType: ndjson, handle: a.getBootstrap},
		{Method: post, Path: "/v1/digest", Access: Member, needs: chat.ActRead, Summary: "The proof that a client holds what it should: its sums, compared. 410 reset or far_behind when they cannot be.",
			Body: protocol.Digest{}, Status: 200, Answer: protocol.DigestAnswer{}, handle: a.postDigest},
		{Method: post, Path: "/v1/commands", Access: Member, needs: chat.ActRead, Summary: "Commands: the one way to change shared state. Each is judged by itself, once per id.",
			Query: []Param{{"epoch", "string", false, "The epoch of the log that what was seen belongs to; 410 reset where it is another's."}},
			Body:  protocol.Commands{}, Status: 200, Answer: protocol.Results{}, handle: a.postCommands},

		{Method: get, Path: "/v1/conversations", Access: Member, needs: chat.ActRead, Summary: "Conversations, newest activity first, with their contacts.",
			Query: []Param{{"brand", "uuid", false, ""}, {"channel", "uuid", false, ""}, {"contact", "uuid", false, ""}, {"status", "string", false, "open, resolved, closed or done (one of these two)"},
				{"state", "string", false, "The handoff state."}, {"assignee", "uuid", false, ""}, {"unread", "boolean", false, ""}, {"unassigned", "boolean", false, ""},
				{"q", "string", false, "Beginnings of words of the contact's name, e-mail or phone."}, {"order", "string", false, "newest (when absent) or oldest activity first"},
				{"with", "string", false, "Up to 200 ids with commas between them: these conversations come along, whatever the filter."}, paramSame, paramCursor, limit("1 to 200; 50 when absent.")},
			Status: 200, Answer: protocol.ConversationsPage{}, handle: a.getConversations},
		{Method: get, Path: "/v1/conversations/{id}", Access: Member, needs: chat.ActRead, Summary: "One conversation.", Query: []Param{paramSame}, Status: 200, Answer: chat.Conversation{}, handle: a.getConversation},
		{Method: get, Path: "/v1/conversations/{id}/messages", Access: Member, needs: chat.ActRead, Summary: "A page of a thread; the newest without before, after or around. Deleted messages are stubs.",
			Query: []Param{{"before", "integer", false, "A message number."}, {"after", "integer", false, "A message number."}, {"around", "integer", false, "A message number."},
				paramSame, limit("1 to 200; 50 when absent.")}, Status: 200, Answer: protocol.MessagesPage{}, handle: a.getMessages},
		{Method: get, Path: "/v1/search", Access: Member, needs: chat.ActRead, Summary: "Conversations found by their contact, and messages with their conversations.",
			Query: []Param{{"q", "string", true, "Words, all of which must be there, and operators: from:, channel:, brand:, has:voice|file|image, before:, after:, quotes."},
				paramSame, paramCursor, limit("1 to 200; 50 when absent.")},
			Status: 200, Answer: protocol.SearchPage{}, handle: a.getSearch},
		{Method: get, Path: "/v1/contacts", Access: Member, needs: chat.ActRead, Summary: "Contacts, the newest first.",
			Query:  []Param{{"q", "string", false, "Beginnings of words of name, e-mail or phone; all must match."}, paramCursor, limit("1 to 200; 50 when absent.")},
			Status: 200, Answer: protocol.ContactsPage{}, handle: a.getContacts},
		{Method: get, Path: "/v1/contacts/{id}", Access: Member, needs: chat.ActRead, Summary: "One contact.", Status: 200, Answer: chat.Contact{}, handle: a.getContact},

		{Method: get, Path: "/v1/members", Access: Member, needs: chat.ActRead, Summary: "The workspace's members.", Status: 200, Answer: protocol.Members{}, handle: a.getMembers},
		{Method: post, Path: "/v1/members", Access: Member, needs: chat.ActManageMembers, Summary: "Add a member.", Body: protocol.MemberAdd{}, Status: 201, Answer: chat.Member{}, handle: a.postMember},
		{Method: patch, Path: "/v1/members/{id}", Access: Member, needs: chat.ActManageMembers, Summary: "Change a member: name, role, brands, password, disabled.",
			Body: protocol.MemberUpdate{}, Status: 200, Answer: chat.Member{}, handle: a.patchMember},

		{Method: head, Path: "/v1/files/{sha256}", Access: Member, needs: chat.ActRead, Summary: "200 if the server has the file.", Status: 200, handle: a.headFile},
		{Method: put, Path: "/v1/files/{sha256}", Access: Member, needs: chat.ActAnswer, Summary: "Upload a file, whole or in pieces with Content-Range; 308 says in Range how far it got.",
			Headers: ofUpload(), BodyType: anything, Status: 201, Answer: chat.File{}, handle: a.putFile},
		{Method: get, Path: "/v1/files/{sha256}", Access: Member, needs: chat.ActRead, Summary: "The content of a file.", Query: []Param{paramName},
			Status: 200, AnswerType: anything, Others: ofContent(), handle: a.getFile},

		{Method: get, Path: "/v1/live", Access: FirstFrame, needs: chat.ActRead, Summary: "The live socket (WebSocket). See docs/protocol.md for its frames.", Status: 101,
			Frames: []any{protocol.Frame{}}, handle: a.getLive},
	}
}
