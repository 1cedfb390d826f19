package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// CommandKind describes one kind of command: what its args look like and what
// the data of its answer is.
type CommandKind struct {
	Kind    string
	Args    any
	Data    any
	Summary string
	Later   any // the data where the command is kept until its send_at; nil: never is
}

// CommandKinds is every kind the server knows, in the order of the protocol.
func CommandKinds() []CommandKind {
	return []CommandKind{
		{protocol.MessageSend, protocol.MessageSendArgs{}, chat.Message{}, "Say something to the customer. Refused: newer_messages, held_by_other, too_soon, too_large, unsupported_part, blocked_contact, closed, resolved, window_closed. With a send_at to come the server keeps it until then, and the data is what is scheduled.", chat.Scheduled{}},
		{protocol.MessageUnschedule, protocol.MessageArgs{}, chat.Scheduled{}, "Take a scheduled message back.", nil},
		{protocol.MessageRetry, protocol.MessageArgs{}, chat.Message{}, "Let a message whose delivery failed go out once more.", nil},
		{protocol.CommentAdd, protocol.CommentAddArgs{}, chat.Message{}, "Say something only colleagues see.", nil},
		{protocol.ConversationRead, protocol.ReadArgs{}, chat.Conversation{}, "Move the read position forward to upto.", nil},
		{protocol.ConversationUnread, protocol.ReadArgs{}, chat.Conversation{}, "Make a message and later ones unread again.", nil},
		{protocol.ConversationResolve, protocol.ConversationArgs{}, chat.Conversation{}, "Done for now; a customer's message reopens.", nil},
		{protocol.ConversationReopen, protocol.ConversationArgs{}, chat.Conversation{}, "Open again.", nil},
		{protocol.ConversationAssign, protocol.AssignArgs{}, chat.Conversation{}, "Make a member responsible; null: nobody.", nil},
		{protocol.HandoffAccept, protocol.ConversationArgs{}, chat.Conversation{}, "Take the conversation firmly. Refused: held_by_other, closed.", nil},
		{protocol.HandoffRelease, protocol.ConversationArgs{}, chat.Conversation{}, "Give it back.", nil},
		{protocol.ContactUpdate, protocol.ContactUpdateArgs{}, chat.Contact{}, "Change name, e-mail, phone; absent fields stay.", nil},
		{protocol.DraftPut, protocol.DraftPutArgs{}, chat.Draft{}, "Keep what is typed; empty text drops it. Refused: conflict.", nil},
		{protocol.DraftDrop, protocol.DraftDropArgs{}, struct{}{}, "Forget what was typed. Refused: conflict.", nil},
		{protocol.SettingsPut, protocol.SettingsPutArgs{}, chat.Workspace{}, "Change the workspace's settings. Needs an administrator.", nil},
		{protocol.ChannelPut, protocol.ChannelPutArgs{}, chat.Channel{}, "Change a web channel's settings: the pages that may embed it, title, greeting, receipts. Needs an administrator.", nil},
		{protocol.MePut, protocol.MePutArgs{}, chat.Member{}, "Change one's own name and choices.", nil},
	}
}

// EntityKind describes one kind of entity in the change log: what the data of
// its changes is.
type EntityKind struct {
	Kind chat.EntityKind
	Data any
}

// EntityKinds is every kind of entity in the change log.
func EntityKinds() []EntityKind {
	return []EntityKind{
		{chat.EntityWorkspace, chat.Workspace{}}, {chat.EntityBrand, chat.Brand{}}, {chat.EntityChannel, chat.Channel{}},
		{chat.EntityMember, chat.Member{}}, {chat.EntityContact, chat.Contact{}}, {chat.EntityConversation, chat.Conversation{}},
		{chat.EntityMessage, chat.Message{}}, {chat.EntityDraft, chat.Draft{}}, {chat.EntityScheduled, chat.Scheduled{}}, {chat.EntityAccess, chat.Access{}},
	}
}

var pathParam = regexp.MustCompile(`\{([a-z0-9_]+)\}`)

// Document makes the OpenAPI 3.1 document of a route table.
func Document(routes []Route, version string) ([]byte, error) {
	if version == "" {
		version = "0"
	}
	s := newSchemas()
	paths := map[string]object{}
	for _, r := range routes {
		if paths[r.Path] == nil {
			paths[r.Path] = object{}
		}
		paths[r.Path][strings.ToLower(r.Method)] = operation(s, r)
	}
	s.components["Command"].(object)["oneOf"] = commandKinds(s)
	for _, name := range []string{"Change", "BootstrapLine"} {
		s.components[name].(object)["allOf"] = entityKinds(s)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{"title": "Parley", "version": version, "license": object{"name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only"},
			"description": "The protocol between the desktop, the widget, other programs and parleyd. Errors are RFC 9457 problem documents with a stable code. Send Parley-Protocol: 1."},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{"schemas": s.components, "securitySchemes": object{
			"member":  object{"type": "http", "scheme": "bearer", "description": "The token of POST /v1/session."},
			"visitor": object{"type": "apiKey", "in": "header", "name": "Authorization", "description": "Visitor TOKEN, of POST /v1/visitor/session."}}},
	}
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return append(out, '\n'), nil
}

// commandKinds describes kind and args of each command together.
func commandKinds(s *schemas) []object {
	var out []object
	for _, k := range CommandKinds() {
		o := object{"title": k.Kind, "description": k.Summary + " The answer's data: " + describe(k.Data) + ".",
			"properties": object{"kind": object{"const": k.Kind}, "args": s.of(k.Args)}, "required": []string{"kind", "args"},
			"x-data": s.of(k.Data)}
		if k.Later != nil {
			o["x-data-later"] = s.of(k.Later)
		}
		out = append(out, o)
	}
	return out
}

// entityKinds says what the data of a change or a line is, by its kind. Kinds
// that are not named may come: readers pass over them.
func entityKinds(s *schemas) []object {
	is := func(field string, value any) object {
		return object{"properties": object{field: object{"const": value}}, "required": []string{field}}
	}
	out := []object{{"if": is("op", chat.OpPut), "then": object{"required": []string{"data"}}}}
	for _, k := range EntityKinds() {
		out = append(out, object{"if": is("kind", k.Kind), "then": object{"properties": object{"data": s.of(k.Data)}}})
	}
	return out
}

func operation(s *schemas, r Route) object {
	op := object{"summary": r.Summary, "operationId": operationID(r), "responses": responses(s, r)}
	if params := parameters(r); len(params) > 0 {
		op["parameters"] = params
	}
	switch r.Access {
	case Member:
		op["security"] = []object{{"member": []string{}}}
		op["x-needs"] = string(r.needs)
	case FirstFrame:
		op["security"] = []object{{"member": []string{}}, {}}
		op["x-needs"] = string(r.needs)
	case Visitor:
		op["security"] = []object{{"visitor": []string{}}}
	}
	if len(r.Frames) > 0 {
		frames := make([]object, len(r.Frames))
		for i, f := range r.Frames {
			frames[i] = s.of(f)
		}
		op["x-frames"] = frames
	}
	switch {
	case r.Body != nil:
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.of(r.Body)}}}
	case r.BodyType != "":
		op["requestBody"] = object{"content": object{r.BodyType: object{}}}
	}
	return op
}

func responses(s *schemas, r Route) object {
	ok := object{"description": http.StatusText(r.Status)}
	switch {
	case r.AnswerType == ndjson:
		ok["description"] = "One JSON object per line: BootstrapHead, then BootstrapLine, at last BootstrapEnd."
		ok["content"] = object{ndjson: object{"schema": object{"oneOf": []object{s.of(protocol.BootstrapHead{}), s.of(r.Answer), s.of(protocol.BootstrapEnd{})}}}}
	case r.AnswerType != "":
		ok["content"] = object{r.AnswerType: object{}}
	case r.Answer != nil:
		ok["content"] = object{"application/json": object{"schema": s.of(r.Answer)}}
	}
	out := object{strconv.Itoa(r.Status): ok, "default": wrong(s, r)}
	if r.Method == http.MethodPut {
		out["308"] = object{"description": "More is wanted; Range says how far it got. Without Range: nothing is there yet.",
			"headers": object{"Range": object{"schema": object{"type": "string", "pattern": "^bytes=0-[0-9]+$"}}}}
	}
	for _, o := range r.Others {
		other := object{"description": o.Meaning}
		if o.Status < 300 {
			other["content"] = ok["content"]
		}
		out[strconv.Itoa(o.Status)] = other
	}
	return out
}

// wrong describes what comes in place of a success.
func wrong(s *schemas, r Route) object {
	if r.AnswerType == page {
		return object{"description": "A page that says what is wrong.", "content": object{page: object{}}}
	}
	return object{"description": "A problem document.", "content": object{"application/problem+json": object{"schema": s.of(protocol.Problem{})}}}
}

func parameters(r Route) []object {
	var out []object
	for _, m := range pathParam.FindAllStringSubmatch(r.Path, -1) {
		schema := object{"type": "string"}
		switch m[1] {
		case "id":
			schema["format"] = "uuid"
		case "sha256":
			schema["pattern"] = "^[0-9a-f]{64}$"
		}
		out = append(out, object{"name": m[1], "in": "path", "required": true, "schema": schema})
	}
	for _, q := range r.Query {
		out = append(out, parameter(q, "query"))
	}
	for _, h := range r.Headers {
		out = append(out, parameter(h, "header"))
	}
	return out
}

func parameter(from Param, in string) object {
	schema := object{"type": from.Kind}
	if from.Kind == "uuid" {
		schema = object{"type": "string", "format": "uuid"}
	}
	p := object{"name": from.Name, "in": in, "schema": schema}
	if from.Needed {
		p["required"] = true
	}
	if from.Meaning != "" {
		p["description"] = from.Meaning
	}
	return p
}

// operationID names an operation for generated clients: "get_conversations_id".
func operationID(r Route) string {
	path := strings.NewReplacer("{", "", "}", "", ".", "_", "/", "_").Replace(strings.TrimPrefix(r.Path, "/"))
	return strings.ToLower(r.Method) + "_" + strings.TrimPrefix(path, "v1_")
}
