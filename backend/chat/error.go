package chat

import (
	"errors"
	"fmt"
	"time"
)

// Code names a kind of error that a caller decides on. Codes are part of the
// protocol: written constants, never renumbered.
type Code string

// The codes. Anything else is CodeInternal to the outside.
const (
	CodeInvalid        Code = "invalid"         // bad input; Field says where
	CodeNotFound       Code = "not_found"       // no such thing, or not visible to the caller
	CodeForbidden      Code = "forbidden"       // visible, but not for this role
	CodeUnauthorized   Code = "unauthorized"    // no valid session
	CodeBadCredentials Code = "bad_credentials" // wrong e-mail or password
	CodeTooMany        Code = "too_many"        // rate limit; RetryAfter says how long
	CodeTooSoon        Code = "too_soon"        // the pause between two messages; RetryAfter
	CodeTooLarge       Code = "too_large"
	CodeNewerMessages  Code = "newer_messages" // somebody wrote after what the author saw
	CodeHeldByOther    Code = "held_by_other"  // another member firmly holds the conversation
	CodeWindowClosed   Code = "window_closed"  // the channel no longer accepts free text
	CodeUnsupported    Code = "unsupported_part"
	CodeBlocked        Code = "blocked_contact"
	CodeClosed         Code = "closed"
	CodeMomentPassed   Code = "moment_passed" // asked for later, and handed in after that
	CodeResolved       Code = "resolved"      // resolved by somebody else while the text waited
	CodeIDReused       Code = "id_reused"     // the same id with another body
	CodeAfterRefused   Code = "after_refused"
	CodeFarBehind      Code = "far_behind"
	CodeReset          Code = "reset"
	CodeConflict       Code = "conflict"
	CodeUnavailable    Code = "unavailable" // try again: starting, draining, disk full
	CodeInternal       Code = "internal"
)

// Error is the one error type of the domain: a code to decide on, a sentence
// for a person, and what caused it.
type Error struct {
	Code       Code
	Message    string        // a sentence a person can act on
	Field      string        // for CodeInvalid: which field, dotted
	RetryAfter time.Duration // for CodeTooSoon, CodeTooMany, CodeUnavailable
	Detail     any           // for the caller: the newer messages, the holder …; becomes JSON
	Cause      error
}

// Errorf makes an Error with a code and a formatted sentence.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid makes the error for one bad field.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Error gives the sentence and, for logs, the cause.
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Retryable reports whether waiting helps.
func (e *Error) Retryable() bool {
	return e.Code == CodeTooSoon || e.Code == CodeTooMany || e.Code == CodeUnavailable
}

// ErrorCode gives the code of err: "" for nil, CodeInternal for foreign errors.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// ErrorMessage gives the sentence for a person; foreign errors stay private.
func ErrorMessage(err error) string {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return "Something went wrong on our side. Nothing you wrote is lost; please try again."
}
