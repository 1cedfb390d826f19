package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

// The limits on what a page may say about a visitor.
const (
	maxUserID   = 256
	maxName     = 200
	maxEmail    = 320
	maxPhone    = 64
	maxURL      = 2048
	maxLanguage = 35
	maxTimezone = 64
	maxUTM      = 16
	maxUTMKey   = 64
	maxUTMValue = 512
)

// postSession opens the visitor of a token, or a new one.
func (c *Channel) postSession(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	req, err := decodeSession(body)
	if err != nil {
		return err
	}
	ws, ch, err := c.inbox.ChannelByKey(r.Context(), req.Channel)
	if err != nil {
		return err
	}
	if err := c.checkOrigin(w, r, ch); err != nil {
		return err
	}
	if err := c.limits.sessions.take(c.address(r), 1); err != nil {
		return err
	}
	verified, err := verify(req.Profile, ch.Secret)
	if err != nil {
		return err
	}
	device, browser := describeAgent(r.UserAgent())
	v, token, err := c.inbox.OpenVisitor(r.Context(), inbox.OpenVisitor{
		Workspace: ws, Channel: ch, Token: req.VisitorToken, Profile: req.Profile, Verified: verified,
		Origin: originOf(req), Language: req.Language, Timezone: req.Timezone, Device: device, Browser: browser,
	})
	if err != nil {
		return err
	}
	if token == "" {
		token = req.VisitorToken
	}
	settings, err := c.settings(r, ws, ch)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, protocol.VisitorSessionAnswer{
		VisitorToken: token, Conversation: v.Conversation, Settings: settings})
}

// decodeSession reads and checks the body of POST /v1/visitor/session. What
// only tells where somebody came from is shortened rather than refused: a long
// address must not keep a customer from asking.
func decodeSession(body []byte) (protocol.VisitorSession, error) {
	var req protocol.VisitorSession
	if err := decode(body, &req); err != nil {
		return req, err
	}
	req.Page, req.Referrer = clip(req.Page, maxURL), clip(req.Referrer, maxURL)
	req.Language, req.Timezone = clip(req.Language, maxLanguage), clip(req.Timezone, maxTimezone)
	lines := []struct {
		field, text string
		max         int
	}{
		{"channel", req.Channel, maxToken}, {"visitor_token", req.VisitorToken, maxToken},
		{"page", req.Page, maxURL}, {"referrer", req.Referrer, maxURL},
		{"language", req.Language, maxLanguage}, {"timezone", req.Timezone, maxTimezone},
	}
	if p := req.Profile; p != nil {
		p.Name, p.Email, p.Phone = strings.TrimSpace(p.Name), strings.TrimSpace(p.Email), strings.TrimSpace(p.Phone)
		lines = append(lines, []struct {
			field, text string
			max         int
		}{
			{"profile.user_id", p.UserID, maxUserID}, {"profile.user_hash", p.UserHash, maxToken},
			{"profile.name", p.Name, maxName}, {"profile.email", p.Email, maxEmail}, {"profile.phone", p.Phone, maxPhone},
		}...)
	}
	for _, l := range lines {
		if err := checkLine(l.field, l.text, l.max); err != nil {
			return req, err
		}
	}
	if req.Channel == "" {
		return req, chat.Invalid("channel", "The key of the channel is needed.")
	}
	if p := req.Profile; p != nil {
		if p.Email != "" && !looksLikeEmail(p.Email) {
			return req, chat.Invalid("profile.email", "This is not an e-mail address.")
		}
		if p.UserHash != "" && p.UserID == "" {
			return req, chat.Invalid("profile.user_id", "A user_hash needs the user_id it proves.")
		}
	}
	return req, checkUTM(&req)
}

func checkUTM(req *protocol.VisitorSession) error {
	if len(req.UTM) > maxUTM {
		return chat.Invalid("utm", "At most %d fields are allowed here.", maxUTM)
	}
	for key, value := range req.UTM {
		if err := checkLine("utm", key, maxUTMKey); err != nil {
			return err
		}
		req.UTM[key] = clip(value, maxUTMValue)
		if err := checkLine("utm."+key, req.UTM[key], maxUTMValue); err != nil {
			return err
		}
	}
	return nil
}

// looksLikeEmail is as strict as it can be without refusing real addresses.
func looksLikeEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(s, " \t\r\n<>,;") && !strings.Contains(domain, "@")
}

// verify reports whether the profile is proven by the channel's secret. A
// wrong proof is refused, a missing one makes the profile a claim.
func verify(p *protocol.VisitorProfile, secret string) (bool, error) {
	if p == nil || p.UserHash == "" {
		return false, nil
	}
	got, err := hex.DecodeString(p.UserHash)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(p.UserID))
	if err != nil || secret == "" || !hmac.Equal(got, mac.Sum(nil)) {
		return false, &chat.Error{Code: chat.CodeForbidden, Field: "profile.user_hash",
			Message: "The user_hash is not the HMAC-SHA256 of the user_id under this channel's secret."}
	}
	return true, nil
}

// originOf is where the visitor came from, nil when nothing is known.
func originOf(req protocol.VisitorSession) *chat.Origin {
	o := chat.Origin{Page: webAddress(req.Page), Referrer: webAddress(req.Referrer), UTM: req.UTM}
	if o.Page == "" && o.Referrer == "" && len(o.UTM) == 0 {
		return nil
	}
	return &o
}

// webAddress gives back what members may open without danger, else nothing.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	return s
}

// settings are what the browser needs to know about the channel.
func (c *Channel) settings(r *http.Request, ws chat.WorkspaceID, ch chat.Channel) (protocol.VisitorSettings, error) {
	of, err := c.inbox.Settings(r.Context(), ws)
	if err != nil {
		return protocol.VisitorSettings{}, err
	}
	s := ch.Settings
	title := s.Title
	if title == "" {
		title = c.inbox.BrandName(r.Context(), ws, ch.Brand)
	}
	if title == "" {
		title = ch.Name
	}
	return protocol.VisitorSettings{Title: title, Greeting: s.Greeting, Color: color(s.Color), Language: s.Language,
		Theme: s.Theme, AskName: s.AskName, AskEmail: s.AskEmail, Suggested: s.Suggested,
		MaxFileBytes: of.MaxFileBytes}, nil
}

// color gives back "#rrggbb", else nothing.
func color(s string) string {
	if len(s) != 7 || s[0] != '#' {
		return ""
	}
	if _, err := hex.DecodeString(s[1:]); err != nil {
		return ""
	}
	return s
}
