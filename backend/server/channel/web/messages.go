package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// postMessage stores what the visitor says, once per id.
func (c *Channel) postMessage(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(w, r)
	if err != nil {
		return err
	}
	if err := c.limits.messages.take(string(v.TokenHash), 1); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	id, parts, err := decodeSend(body)
	if err != nil {
		return err
	}
	m, err := c.inbox.Say(r.Context(), v, id, parts)
	if err != nil {
		return asSent(err, parts)
	}
	return writeJSON(w, http.StatusOK, protocol.VisitorSent{Message: c.visitorMessage(r.Context(), v, m)})
}

// decodeSend reads and checks the body of POST /v1/visitor/messages.
func decodeSend(body []byte) (chat.MessageID, []chat.Part, error) {
	var req protocol.VisitorSend
	var none chat.MessageID
	if err := decode(body, &req); err != nil {
		return none, nil, err
	}
	if req.ID.IsZero() {
		return none, nil, chat.Invalid("id", "A message needs an id of its own: a UUID in its 36-character form.")
	}
	if err := chat.CheckText("text", req.Text, chat.MaxTextBytes); err != nil {
		return none, nil, err
	}
	parts := []chat.Part{}
	if strings.TrimSpace(req.Text) != "" {
		parts = append(parts, chat.TextPart(req.Text))
	}
	for i, f := range req.Files {
		field := "files." + strconv.Itoa(i)
		if !chat.IsSHA256(f.SHA256) {
			return none, nil, chat.Invalid(field+".sha256", "A file is named by the SHA-256 of its content, 64 hex digits.")
		}
		if err := chat.CheckText(field+".name", f.Name, chat.MaxTextBytes); err != nil {
			return none, nil, err
		}
		parts = append(parts, chat.Part{Kind: chat.PartFile, SHA256: f.SHA256, Name: chat.FileName(f.Name)})
	}
	if len(parts) == 0 {
		return none, nil, chat.Invalid("text", "The message is empty.")
	}
	if len(parts) > chat.MaxParts {
		return none, nil, chat.Invalid("files", "A message has at most %d parts.", chat.MaxParts)
	}
	return req.ID, parts, nil
}

// asSent names the field of an error as the visitor sent it: a visitor writes
// text and files, not parts.
func asSent(err error, parts []chat.Part) error {
	var e *chat.Error
	if !errors.As(err, &e) {
		return err
	}
	hasText := len(parts) > 0 && parts[0].Kind == chat.PartText
	head, rest, _ := strings.Cut(e.Field, ".")
	at, below, _ := strings.Cut(rest, ".")
	i, _ := strconv.Atoi(at) // "parts" alone is about the whole of it, its text first of all
	named := *e
	switch {
	case head != "parts":
		return err
	case hasText && i == 0:
		named.Field = "text"
	case rest == "":
		named.Field = "files"
	default:
		if hasText {
			i--
		}
		named.Field = strings.TrimSuffix("files."+strconv.Itoa(i)+"."+below, ".")
	}
	return &named
}

// getMessages gives everything the visitor may see after a number.
func (c *Channel) getMessages(w http.ResponseWriter, r *http.Request) error {
	v, err := c.visitor(w, r)
	if err != nil {
		return err
	}
	if err := c.limits.reads.take(string(v.TokenHash), 1); err != nil {
		return err
	}
	after, err := decodeAfter(r.URL.Query().Get("after"))
	if err != nil {
		return err
	}
	page, err := c.page(r.Context(), v, after)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

func decodeAfter(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(s, 10, 64)
	if err != nil || after < 0 || after >= 1<<53 {
		return 0, chat.Invalid("after", "The number of a message is wanted, 0 for the beginning.")
	}
	return after, nil
}

// page reads what the visitor may see after a number.
func (c *Channel) page(ctx context.Context, v inbox.Visitor, after int64) (protocol.VisitorMessages, error) {
	from, to, msgs, err := c.inbox.VisitorMessages(ctx, v, after)
	if err != nil {
		return protocol.VisitorMessages{}, err
	}
	out := protocol.VisitorMessages{From: from, To: to, Messages: make([]protocol.VisitorMessage, 0, len(msgs))}
	for _, m := range msgs {
		out.Messages = append(out.Messages, c.visitorMessage(ctx, v, m))
	}
	return out, nil
}
