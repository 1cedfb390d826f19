package web

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// handle wraps a handler of the visitor API: headers every answer has, and
// errors as problem documents.
func (c *Channel) handle(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocol.VersionHeader, protocol.Version)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		err := spoken(r)
		if err == nil {
			err = h(w, r)
		}
		if err != nil {
			c.problem(w, r, err)
		}
	})
}

// spoken refuses what was made for another protocol. A socket is told so by
// its closing code.
func spoken(r *http.Request) error {
	if otherProtocol(r) && !websocket.IsWebSocketUpgrade(r) {
		return chat.Invalid(protocol.VersionHeader, "This server speaks protocol %s.", protocol.Version)
	}
	return nil
}

func otherProtocol(r *http.Request) bool {
	v := r.Header.Get(protocol.VersionHeader)
	return v != "" && v != protocol.Version
}

// problem answers with the problem document of err. What is not the caller's
// fault is logged, never what the caller sent; what an operator has to mend not
// each time, or the log would fill the rest of a full disk.
func (c *Channel) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := protocol.ProblemOf(err)
	if p.Code == chat.CodeInternal || p.Code == chat.CodeUnavailable && c.failures.Allow() {
		c.log.LogAttrs(r.Context(), slog.LevelError, "visitor request",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter))))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	if r.Method == http.MethodHead {
		return
	}
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody to tell
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody to tell
	return nil
}

// visitor finds who is asking by "Authorization: Visitor TOKEN" and checks
// that their page may.
func (c *Channel) visitor(w http.ResponseWriter, r *http.Request) (inbox.Visitor, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "visitor") || token == "" || len(token) > maxToken {
		return inbox.Visitor{}, chat.Errorf(chat.CodeUnauthorized, "A visitor token is needed: Authorization: Visitor TOKEN.")
	}
	v, err := c.inbox.Visitor(r.Context(), strings.TrimSpace(token))
	if err != nil {
		return inbox.Visitor{}, err
	}
	return v, c.checkOrigin(w, r, v.Channel)
}

// visitorMessage is a message as the visitor may see it.
func (c *Channel) visitorMessage(ctx context.Context, v inbox.Visitor, m chat.Message) protocol.VisitorMessage {
	out := protocol.VisitorMessage{ID: m.ID, Number: m.Number, Parts: m.Parts, SentAt: m.SentAt,
		EditedAt: m.EditedAt, DeletedAt: m.DeletedAt, Author: protocol.VisitorAuthor{Kind: m.Author.Kind}}
	if out.Parts == nil || !m.DeletedAt.IsZero() {
		out.Parts = []chat.Part{}
	}
	switch m.Author.Kind {
	case chat.ActorCustomer: // "you": the browser words it
	case chat.ActorMember:
		out.Author.Name = c.inbox.MemberName(ctx, v.Workspace, m.Author.ID)
	}
	if out.Author.Name == "" && m.Author.Kind != chat.ActorCustomer {
		out.Author.Name = c.inbox.BrandName(ctx, v.Workspace, v.Channel.Brand)
	}
	return out
}
