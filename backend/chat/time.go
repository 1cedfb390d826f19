package chat

import (
	"fmt"
	"time"
)

// Time is a moment in UTC, counted in microseconds since 1970. The zero Time
// means "never"; it is null in JSON. Times are shown, never used to order
// messages: numbers do that.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000000Z"

// TimeOf converts a standard time, dropping what is finer than a microsecond.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMicro())
}

// Std converts to the standard library's time, in UTC.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(t)).UTC()
}

// Add moves the time by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// Sub gives the distance from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// IsZero reports whether the time means "never".
func (t Time) IsZero() bool { return t == 0 }

// String gives RFC 3339 with exactly six decimals.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(timeLayout)
}

// MarshalJSON writes RFC 3339 UTC with microseconds, or null for never.
func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.Std().AppendFormat(b, timeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	if len(b) < 2 || b[0] != '"' {
		return Errorf(CodeInvalid, "A time is text in RFC 3339 form.")
	}
	v, err := time.Parse(time.RFC3339Nano, string(b[1:len(b)-1]))
	if err != nil {
		return Errorf(CodeInvalid, "A time is written as in RFC 3339, which %q is not.", clip(string(b[1:len(b)-1]), 48))
	}
	if y := v.UTC().Year(); y < 1 || y > 9999 {
		return Errorf(CodeInvalid, "The year of a time is between 1 and 9999.")
	}
	*t = TimeOf(v)
	return nil
}

// Scan reads the microseconds stored for a time; NULL is never.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = 0
	case int64:
		*t = Time(v)
	default:
		return fmt.Errorf("scan time: unexpected %T", src)
	}
	return nil
}
