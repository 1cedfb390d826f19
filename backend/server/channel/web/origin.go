package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// originLister is an inbox that knows the origins of all its web channels. It
// answers preflights, which name no channel. Without it, a preflight names the
// channel in the query (?channel=KEY).
type originLister interface {
	OriginListed(ctx context.Context, origin string) (bool, error)
}

// canonicalOrigin gives an origin as browsers write it, and false for anything
// that is not the origin of a web page. What it returns is safe in a header.
func canonicalOrigin(s string) (string, bool) {
	u, err := url.Parse(strings.ToLower(strings.TrimSpace(s)))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Path != "" && u.Path != "/") {
		return "", false
	}
	port := u.Port()
	switch u.Scheme {
	case "http":
		port = dropPort(port, "80")
	case "https":
		port = dropPort(port, "443")
	default:
		return "", false
	}
	host := u.Hostname()
	if host == "" || strings.ContainsFunc(host, notHost) {
		return "", false
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, true
}

func dropPort(port, standard string) string {
	if port == standard {
		return ""
	}
	return port
}

// notHost reports runes that no host name or address has; among them all that
// mean something in a policy or a header.
func notHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != ':' && r != '_'
}

// origins are the pages that may embed a channel, each once.
func origins(ch chat.Channel) []string {
	list := []string{}
	for _, o := range ch.Settings.Origins {
		if c, ok := canonicalOrigin(o); ok {
			list = append(list, c)
		}
	}
	return list
}

func listed(ch chat.Channel, origin string) bool {
	for _, o := range origins(ch) {
		if o == origin {
			return true
		}
	}
	return false
}

// own reports whether an origin is this server itself: the share-link page and
// the widget's frame.
func (c *Channel) own(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	if c.public == nil {
		return false
	}
	public, ok := canonicalOrigin(c.public.Scheme + "://" + c.public.Host)
	return ok && public == origin
}

// checkOrigin lets through programs that are no browser (they send no
// Origin), this server's own pages, and pages the channel lists; the last get
// CORS headers. Any other page is refused.
func (c *Channel) checkOrigin(w http.ResponseWriter, r *http.Request, ch chat.Channel) error {
	origin := r.Header.Get("Origin")
	w.Header().Add("Vary", "Origin")
	if len(r.Header.Values("Origin")) == 0 || c.own(r, origin) {
		return nil
	}
	if !listed(ch, origin) {
		return chat.Errorf(chat.CodeForbidden, "This page is not on the channel's list of allowed origins.")
	}
	allowOrigin(w, origin)
	return nil
}

func allowOrigin(w http.ResponseWriter, origin string) {
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "Retry-After, Content-Disposition, Range, "+protocol.VersionHeader)
}

// somebodyLists reports whether a page is listed by the channel that the
// query names, or by any.
func (c *Channel) somebodyLists(r *http.Request, origin string) (bool, error) {
	if key := r.URL.Query().Get("channel"); key != "" {
		_, ch, err := c.inbox.ChannelByKey(r.Context(), key)
		if chat.ErrorCode(err) == chat.CodeNotFound {
			return false, nil
		}
		return err == nil && listed(ch, origin), err
	}
	if all, ok := c.inbox.(originLister); ok {
		return all.OriginListed(r.Context(), origin)
	}
	return false, nil
}

// preflight answers a browser that asks before it sends. The request that
// follows is checked again, against the one channel it is about.
func (c *Channel) preflight(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	w.Header().Add("Vary", "Origin")
	if origin == "" || c.own(r, origin) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	ok, err := c.somebodyLists(r, origin)
	if err == nil && !ok {
		err = chat.Errorf(chat.CodeForbidden, "This page is not on the list of allowed origins.")
	}
	if err != nil {
		c.problem(w, r, err)
		return
	}
	allowOrigin(w, origin)
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Range, X-Filename, "+protocol.VersionHeader)
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
