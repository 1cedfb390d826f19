package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

//go:embed all:dist
var dist embed.FS

func embedded() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil { // cannot happen: the folder is embedded above
		panic(err)
	}
	return sub
}

// asset is one built file, ready to be sent.
type asset struct {
	body, zipped []byte
	kind, hash   string
}

// assets are the built files by name; some are missing in a program that was
// built without the frontend.
type assets map[string]asset

func readAssets(files fs.FS) assets {
	all := assets{}
	for name, kind := range map[string]string{"widget.js": "text/javascript; charset=utf-8",
		"chat.js": "text/javascript; charset=utf-8", "chat.css": "text/css; charset=utf-8"} {
		if body, err := fs.ReadFile(files, name); err == nil {
			all[name] = newAsset(body, kind)
		}
	}
	return all
}

func newAsset(body []byte, kind string) asset {
	sum := sha256.Sum256(body)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	return asset{body: body, zipped: zipped.Bytes(), kind: kind, hash: hex.EncodeToString(sum[:8])}
}

func (a assets) complete() bool { return len(a) == 3 }

func (a asset) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", cache)
	h.Set("ETag", `"`+a.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), `"`+a.hash+`"`) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone: nobody to tell
	}
}

func (c *Channel) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets[r.PathValue("file")]
	if !ok || r.PathValue("file") == "widget.js" {
		c.problem(w, r, chat.Errorf(chat.CodeNotFound, "There is nothing at this address."))
		return
	}
	cache := "no-cache"
	if r.URL.Query().Get("v") == a.hash {
		cache = "public, max-age=31536000, immutable"
	}
	a.serve(w, r, cache)
}

// loaderMark stands in the built script where the channel's configuration goes.
const loaderMark = "PARLEY_CONFIG"

// loaderConfig is what the script on the embedding page needs.
type loaderConfig struct {
	Channel  string   `json:"channel"`
	Origins  []string `json:"origins"`
	Title    string   `json:"title"`
	Color    string   `json:"color"`
	Theme    string   `json:"theme"`
	Language string   `json:"language"`
}

// loader serves the script tag's script with the channel's configuration.
func (c *Channel) loader(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets["widget.js"]
	if !ok {
		c.notBuilt(w)
		return
	}
	ws, ch, err := c.inbox.ChannelByKey(r.Context(), r.URL.Query().Get("channel"))
	if err == nil {
		var s protocol.VisitorSettings
		if s, err = c.settings(r, ws, ch); err == nil {
			var config []byte // its JSON is also safe as an expression of JavaScript
			if config, err = json.Marshal(loaderConfig{Channel: ch.Key, Origins: origins(ch), Title: s.Title,
				Color: s.Color, Theme: s.Theme, Language: s.Language}); err == nil {
				body := bytes.Replace(a.body, []byte(loaderMark), config, 1)
				newAsset(body, a.kind).serve(w, r, "public, max-age=300")
				return
			}
		}
	}
	c.problem(w, r, err)
}

// pageConfig is what the chat page needs; it stands in the page as JSON.
type pageConfig struct {
	Channel  string                   `json:"channel"`
	Mode     string                   `json:"mode"` // "page" or "frame"
	Origins  []string                 `json:"origins"`
	Settings protocol.VisitorSettings `json:"settings"`
}

var chatPage = template.Must(template.New("chat").Parse(`<!doctype html>
<html lang="{{.Lang}}" data-mode="{{.Config.Mode}}"{{with .Theme}} data-theme="{{.}}"{{end}}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover, interactive-widget=resizes-content">
<meta name="color-scheme" content="light dark">
<title>{{.Config.Settings.Title}}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/widget/asset/chat.css?v={{.CSS}}">
<script type="application/json" id="config">{{.Config}}</script>
<script type="module" src="/widget/asset/chat.js?v={{.JS}}"></script>
</head>
<body>
<div id="app"></div>
<noscript>This chat needs JavaScript.</noscript>
</body>
</html>
`))

var plainPage = template.Must(template.New("plain").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title></head><body><main><h1>{{.Title}}</h1><p>{{.Text}}</p></main></body></html>
`))

func (c *Channel) sharePage(w http.ResponseWriter, r *http.Request) {
	ws, ch, err := c.inbox.ChannelBySlug(r.Context(), r.PathValue("slug"))
	c.chat(w, r, ws, ch, err, "page", "'none'")
}

// framePage is what the widget shows in its frame. Only the pages that the
// channel lists may frame it.
func (c *Channel) framePage(w http.ResponseWriter, r *http.Request) {
	ws, ch, err := c.inbox.ChannelByKey(r.Context(), r.PathValue("key"))
	ancestors := strings.Join(append([]string{"'self'"}, origins(ch)...), " ")
	c.chat(w, r, ws, ch, err, "frame", ancestors)
}

func (c *Channel) chat(w http.ResponseWriter, r *http.Request, ws chat.WorkspaceID, ch chat.Channel, err error, mode, ancestors string) {
	if !c.assets.complete() {
		c.notBuilt(w)
		return
	}
	var settings protocol.VisitorSettings
	if err == nil {
		settings, err = c.settings(r, ws, ch)
	}
	switch {
	case chat.ErrorCode(err) == chat.CodeNotFound:
		c.plain(w, http.StatusNotFound, "This chat does not exist", "Please check the link, or ask for a new one.")
		return
	case err != nil:
		c.log.Error("chat page", "path", r.URL.Path, "error", err)
		c.plain(w, http.StatusServiceUnavailable, "Please try again", "The chat cannot be opened at the moment.")
		return
	}
	lang := settings.Language
	if lang == "" {
		lang = "en"
	}
	theme := settings.Theme
	if theme != "light" && theme != "dark" {
		theme = ""
	}
	var page bytes.Buffer
	if err := chatPage.Execute(&page, map[string]any{"Lang": lang, "Theme": theme,
		"CSS": c.assets["chat.css"].hash, "JS": c.assets["chat.js"].hash,
		"Config": pageConfig{Channel: ch.Key, Mode: mode, Origins: origins(ch), Settings: settings}}); err != nil {
		c.log.Error("chat page", "path", r.URL.Path, "error", err)
		c.plain(w, http.StatusInternalServerError, "Please try again", "The chat cannot be opened at the moment.")
		return
	}
	c.policy(w, r, ancestors)
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Bytes()) // the client is gone: nobody to tell
	}
}

// policy sets the headers that keep a page to itself: scripts and styles only
// from this server, nothing inline, framed only where it is meant to be.
func (c *Channel) policy(w http.ResponseWriter, r *http.Request, ancestors string) {
	// Not every browser counts a WebSocket to the page's own host as 'self'.
	connect := "'self'"
	if o, ok := canonicalOrigin("http://" + r.Host); ok {
		host := strings.TrimPrefix(o, "http://")
		connect += " ws://" + host + " wss://" + host
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src "+connect+
		"; base-uri 'none'; form-action 'none'; frame-ancestors "+ancestors)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
}

// plain is a page that says one thing.
func (c *Channel) plain(w http.ResponseWriter, status int, title, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = plainPage.Execute(w, map[string]string{"Title": title, "Text": text}) // the client is gone: nobody to tell
}

func (c *Channel) notBuilt(w http.ResponseWriter) {
	c.plain(w, http.StatusServiceUnavailable, "The customer pages are not built",
		"This server was built without them. Run \"make\" and start it again.")
}
