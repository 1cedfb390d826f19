package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// maxToken is more than any visitor token is long.
const maxToken = 256

// readBody reads a JSON body of at most protocol.MaxBody bytes. A body that
// says it is longer is refused before any of it is read.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLarge := chat.Errorf(chat.CodeTooLarge, "The request is larger than %d kB.", protocol.MaxBody>>10)
	if r.ContentLength > protocol.MaxBody {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, protocol.MaxBody))
	var cut *http.MaxBytesError
	switch {
	case errors.As(err, &cut):
		return nil, tooLarge
	case err != nil:
		return nil, &chat.Error{Code: chat.CodeInvalid, Field: "body", Message: "The request ended early.", Cause: err}
	}
	return body, nil
}

// decode reads a JSON object into dst. What does not fit is an error that
// names the field: bytes that are not UTF-8 (which encoding/json would replace
// silently), wrong types, and anything that is not one object.
func decode(body []byte, dst any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return chat.Invalid("body", "A JSON object is wanted.")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !utf8.Valid(fields[name]) {
			return chat.Invalid(strings.ToValidUTF8(name, "�"), "The text is not valid UTF-8.")
		}
	}
	if !utf8.Valid(body) {
		return chat.Invalid("body", "The request is not valid UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(dst)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return chat.Invalid(wrong.Field, "A %s cannot stand here.", wrong.Value)
	}
	return chat.Invalid("body", "The JSON object does not have the wanted form.")
}

// checkLine refuses text that is no single value: too long, not UTF-8, or with
// a zero byte.
func checkLine(field, text string, maxBytes int) error {
	if len(text) > maxBytes {
		return chat.Invalid(field, "At most %d bytes are allowed here.", maxBytes)
	}
	return chat.CheckText(field, text, maxBytes)
}

// clip shortens text to at most max bytes, between runes.
func clip(text string, max int) string {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max]
}
