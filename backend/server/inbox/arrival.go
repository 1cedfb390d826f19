package inbox

import (
	"encoding/json"
	"fmt"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// arrival is what a channel knows of a person who has not written yet.
type arrival struct {
	Name     string       `json:"name,omitempty"`
	Email    string       `json:"email,omitempty"`
	Phone    string       `json:"phone,omitempty"`
	Language string       `json:"language,omitempty"`
	Timezone string       `json:"timezone,omitempty"`
	Device   string       `json:"device,omitempty"`
	Browser  string       `json:"browser,omitempty"`
	Origin   *chat.Origin `json:"origin,omitempty"`
	Verified bool         `json:"verified,omitempty"`
}

// keptArrival reads what an earlier visit left in the visitor's row.
func keptArrival(raw json.RawMessage) (arrival, error) {
	var a arrival
	if len(raw) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("read arrival: %w", err)
	}
	return a, nil
}

// keep gives the arrival for the visitor's row; nothing known is nothing kept.
func (a arrival) keep() (json.RawMessage, error) {
	raw, err := marshal(a)
	if err != nil || string(raw) == "{}" {
		return nil, err
	}
	return raw, nil
}

// arrivalOf checks what a page says about its visitor. A name or address that
// cannot be stored is refused; what the browser adds by itself is cut.
func arrivalOf(o OpenVisitor) (arrival, error) {
	a := arrival{Verified: o.Verified, Origin: cutOrigin(o.Origin),
		Language: cut(o.Language, 35), Timezone: cut(o.Timezone, 64), Device: cut(o.Device, 100), Browser: cut(o.Browser, 100)}
	p := o.Profile
	if p == nil {
		p = &protocol.VisitorProfile{}
	}
	for _, f := range []struct {
		field string
		from  string
		max   int
		to    *string
	}{{"profile.name", p.Name, maxName, &a.Name}, {"profile.email", p.Email, maxEmail, &a.Email}, {"profile.phone", p.Phone, maxPhone, &a.Phone}} {
		if err := putText(f.field, &f.from, f.max, f.to); err != nil {
			return a, err
		}
	}
	if a.Email != "" && !looksLikeEmail(a.Email) {
		return a, chat.Invalid("profile.email", "This is not an e-mail address.")
	}
	if o.Verified && p.UserID == "" {
		return a, chat.Invalid("profile.user_id", "A proven visitor has a user id.")
	}
	return a, chat.CheckText("profile.user_id", p.UserID, 256)
}

// contact writes down who somebody is, with their first address.
func (a arrival) contact(id chat.ContactID, ch chat.Channel, address string, now chat.Time) chat.Contact {
	return chat.Contact{ID: id, Brand: ch.Brand, Name: a.Name, Email: a.Email, Phone: a.Phone, Language: a.Language,
		Timezone: a.Timezone, Device: a.Device, Browser: a.Browser, Verified: a.Verified, CreatedAt: now,
		Identities: []chat.Identity{{ID: chat.NewID[chat.Identity](), Channel: ch.ID, Address: address, Name: a.Name}}}
}

// fill completes a known contact with what was not known. It overwrites
// nothing: a claim of a page is worth less than what a member has written. It
// reports whether anything changed.
func (a arrival) fill(c *chat.Contact) bool {
	changed := a.Verified && !c.Verified
	c.Verified = c.Verified || a.Verified
	for _, f := range []struct {
		from string
		to   *string
	}{{a.Name, &c.Name}, {a.Email, &c.Email}, {a.Phone, &c.Phone}, {a.Language, &c.Language},
		{a.Timezone, &c.Timezone}, {a.Device, &c.Device}, {a.Browser, &c.Browser}} {
		if *f.to == "" && f.from != "" {
			*f.to = f.from
			changed = true
		}
	}
	return changed
}

// over merges a later visit before the first message into an earlier one: what
// is said now counts, the page that brought the visitor stays.
func (a arrival) over(earlier arrival) arrival {
	for _, f := range []struct {
		from string
		to   *string
	}{{earlier.Name, &a.Name}, {earlier.Email, &a.Email}, {earlier.Phone, &a.Phone}, {earlier.Language, &a.Language},
		{earlier.Timezone, &a.Timezone}, {earlier.Device, &a.Device}, {earlier.Browser, &a.Browser}} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	if earlier.Origin != nil {
		a.Origin = earlier.Origin
	}
	return a
}

// cut shortens what a browser sends and drops what cannot be stored.
func cut(s string, max int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
	if len(s) > max {
		s = strings.ToValidUTF8(s[:max], "")
	}
	return s
}

func cutOrigin(o *chat.Origin) *chat.Origin {
	if o == nil || o.Page == "" && o.Referrer == "" && len(o.UTM) == 0 {
		return nil
	}
	out := chat.Origin{Page: cut(o.Page, 2048), Referrer: cut(o.Referrer, 2048)}
	for k, v := range o.UTM {
		if len(out.UTM) >= 10 {
			break
		}
		if out.UTM == nil {
			out.UTM = map[string]string{}
		}
		out.UTM[cut(k, 40)] = cut(v, 200)
	}
	return &out
}
