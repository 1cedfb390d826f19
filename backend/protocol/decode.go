package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"parley/backend/chat"
)

// Decode reads JSON that came from outside into v, a pointer to a struct.
// Fields it does not know are ignored. What is wrong is refused with CodeInvalid
// and the dotted path of the field: wrong types, broken ids and times, text
// that JSON would quietly repair (bytes that are not UTF-8, half surrogates).
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return chat.Invalid("", "The request is not valid UTF-8.")
	}
	if loneSurrogate(data) {
		return chat.Invalid("", "The request contains half of a surrogate pair, which is not a character.")
	}
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return chat.Invalid("", "The request is not JSON: it breaks at byte %d.", syntax.Offset)
	}
	field, cause := locate(data, reflect.TypeOf(v).Elem())
	if cause == nil {
		cause = err
	}
	return chat.Invalid(field, "%s", complain(cause))
}

// DecodeAs is Decode for what has a name of its own, like "body": that is the
// field where not a part of it but the whole is wrong.
func DecodeAs(whole string, data []byte, v any) error {
	err := Decode(data, v)
	var bad *chat.Error
	if errors.As(err, &bad) && bad.Field == "" {
		bad.Field = whole
	}
	return err
}

// complain words a decoding error for a person.
func complain(err error) string {
	var known *chat.Error
	if errors.As(err, &known) {
		return known.Message
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return article(wrong.Value) + " stands where " + nameOf(wrong.Type) + " is wanted."
	}
	return "The value cannot be read."
}

// article puts "A" or "An" before a word; those that come here are "object",
// "array" and words that begin with a consonant.
func article(word string) string {
	if word != "" && strings.ContainsRune("aeiou", rune(word[0])) {
		return "An " + word
	}
	return "A " + word
}

func nameOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "an object"
}

// locate finds the field that does not fit, by decoding each part by itself.
// Only what has failed comes here, so its price does not matter.
func locate(data []byte, t reflect.Type) (path string, cause error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	err := json.Unmarshal(data, reflect.New(t).Interface())
	if err == nil {
		return "", nil
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "", err
	}
	switch t.Kind() {
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if json.Unmarshal(data, &fields) != nil {
			return "", err
		}
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			raw, ok := fields[name]
			if name == "" || name == "-" || !ok {
				continue
			}
			if below, cause := locate(raw, t.Field(i).Type); cause != nil {
				return join(name, below), cause
			}
		}
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(data, &items) != nil {
			return "", err
		}
		for i, raw := range items {
			if below, cause := locate(raw, t.Elem()); cause != nil {
				return join(strconv.Itoa(i), below), cause
			}
		}
	}
	return "", err
}

func join(name, below string) string {
	if below == "" {
		return name
	}
	return name + "." + below
}

// loneSurrogate reports whether a \uXXXX escape is half of a pair without its
// other half. encoding/json would put U+FFFD there without a word.
func loneSurrogate(data []byte) bool {
	for i := 0; ; {
		at := bytes.IndexByte(data[i:], '\\')
		if at < 0 || i+at+1 >= len(data) {
			return false
		}
		i += at
		if data[i+1] != 'u' {
			i += 2 // an escaped backslash must not escape what follows it
			continue
		}
		unit, ok := hex4(data, i+2)
		i += 6
		switch {
		case !ok:
			return false // broken syntax: the decoder says so
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return true
		case unit >= 0xD800 && unit <= 0xDBFF:
			if i+1 >= len(data) || data[i] != '\\' || data[i+1] != 'u' {
				return true
			}
			low, ok := hex4(data, i+2)
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 6
		}
	}
}

func hex4(data []byte, at int) (uint64, bool) {
	if at+4 > len(data) {
		return 0, false
	}
	v, err := strconv.ParseUint(string(data[at:at+4]), 16, 16)
	return v, err == nil
}
