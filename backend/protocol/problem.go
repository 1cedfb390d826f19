package protocol

import (
	"errors"
	"net/http"
	"time"

	"parley/backend/chat"
)

var statusOf = map[chat.Code]int{
	chat.CodeInvalid: http.StatusBadRequest, chat.CodeNotFound: http.StatusNotFound,
	chat.CodeForbidden: http.StatusForbidden, chat.CodeUnauthorized: http.StatusUnauthorized,
	chat.CodeBadCredentials: http.StatusUnauthorized, chat.CodeTooMany: http.StatusTooManyRequests,
	chat.CodeTooSoon: http.StatusTooManyRequests, chat.CodeTooLarge: http.StatusRequestEntityTooLarge,
	chat.CodeNewerMessages: http.StatusConflict, chat.CodeHeldByOther: http.StatusConflict,
	chat.CodeWindowClosed: http.StatusConflict, chat.CodeUnsupported: http.StatusUnprocessableEntity,
	chat.CodeBlocked: http.StatusConflict, chat.CodeClosed: http.StatusConflict, chat.CodeResolved: http.StatusConflict,
	chat.CodeMomentPassed: http.StatusConflict, chat.CodeIDReused: http.StatusUnprocessableEntity,
	chat.CodeAfterRefused: http.StatusConflict,
	chat.CodeFarBehind:    http.StatusGone, chat.CodeReset: http.StatusGone,
	chat.CodeConflict: http.StatusConflict, chat.CodeUnavailable: http.StatusServiceUnavailable,
	chat.CodeInternal: http.StatusInternalServerError,
}

// ProblemOf turns an error into the document the outside sees. What is not an
// *chat.Error becomes "internal" without its cause.
func ProblemOf(err error) *Problem {
	code := chat.ErrorCode(err)
	p := &Problem{Type: "about:blank", Code: code, Status: statusOf[code], Detail: chat.ErrorMessage(err)}
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	p.Title = http.StatusText(p.Status)
	var e *chat.Error
	if !errors.As(err, &e) {
		return p
	}
	p.Field = e.Field
	p.RetryAfter = e.RetryAfter.Seconds()
	if d, ok := e.Detail.(map[string]any); ok {
		if m, ok := d["messages"].([]chat.Message); ok {
			p.Messages = m
		}
		if h, ok := d["holder"].(chat.Holder); ok {
			p.Holder = &h
		}
		if by, ok := d["by"].(chat.Actor); ok {
			p.By = &by
		}
		if at, ok := d["at"].(chat.Time); ok {
			p.At = at
		}
		if w, ok := d["wipe"].(bool); ok {
			p.Wipe = w
		}
	}
	return p
}

// ErrorOf turns a problem back into the domain's error, for clients.
func ErrorOf(p *Problem) *chat.Error {
	e := &chat.Error{Code: p.Code, Message: p.Detail, Field: p.Field, Cause: p}
	e.RetryAfter = secondsToDuration(p.RetryAfter)
	return e
}

func secondsToDuration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
