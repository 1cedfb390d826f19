package server_test

import (
	"flag"
	"net/http"
	"slices"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everybody may use these roles' routes: who may is written out here, by hand,
// so that a slip in the route table shows.
const (
	all    = "owner admin supervisor agent"
	admins = "owner admin"
	anyone = "anyone" // no token needed
	guests = "visitor"
)

// may is the whole authorisation table. A route that is not here fails.
var may = map[string]string{
	"GET /healthz":                        anyone,
	"GET /readyz":                         anyone,
	"GET /metrics":                        anyone,
	"GET /openapi.json":                   anyone,
	"POST /v1/setup":                      anyone,
	"POST /v1/session":                    anyone,
	"DELETE /v1/session":                  all,
	"GET /v1/sessions":                    all,
	"DELETE /v1/sessions/{id}":            all,
	"GET /v1/changes":                     all,
	"GET /v1/state":                       all,
	"GET /v1/bootstrap":                   all,
	"POST /v1/commands":                   all,
	"GET /v1/conversations":               all,
	"GET /v1/conversations/{id}":          all,
	"GET /v1/conversations/{id}/messages": all,
	"GET /v1/search":                      all,
	"GET /v1/contacts":                    all,
	"GET /v1/contacts/{id}":               all,
	"GET /v1/members":                     all,
	"POST /v1/members":                    admins,
	"PATCH /v1/members/{id}":              admins,
	"HEAD /v1/files/{sha256}":             all,
	"PUT /v1/files/{sha256}":              all,
	"GET /v1/files/{sha256}":              all,
	"GET /v1/live":                        all,
	"GET /c/{slug}":                       anyone,
	"GET /widget.js":                      anyone,
	"GET /widget/{key}":                   anyone,
	"GET /widget/asset/{file}":            anyone,
	"POST /v1/visitor/session":            anyone,
	"POST /v1/visitor/messages":           guests,
	"GET /v1/visitor/messages":            guests,
	"HEAD /v1/visitor/files/{sha256}":     guests,
	"PUT /v1/visitor/files/{sha256}":      guests,
	"GET /v1/visitor/files/{sha256}":      guests,
	"GET /v1/visitor/live":                guests,
}

func TestEveryRouteAgainstEveryRole(t *testing.T) {
	r := newRig(t, onSQLite(t))
	_, v := r.conversation()
	tokens := map[string]string{"nobody": "", "visitor": v.token, "stranger": "a token that nobody has",
		"owner": r.owner.Token, "admin": r.member("Ada", chat.RoleAdmin).Token,
		"supervisor": r.member("Sue", chat.RoleSupervisor).Token, "agent": r.member("Ana", chat.RoleAgent).Token}
	known := map[string]bool{}
	for _, route := range r.srv.Routes() {
		key := route.Method + " " + route.Path
		known[key] = true
		allowed, ok := may[key]
		if !ok {
			t.Errorf("%s is not in the table: write down who may use it", key)
			continue
		}
		if key == "GET /v1/live" || key == "GET /v1/visitor/live" || key == "DELETE /v1/session" {
			continue // the tests of sockets and sessions have them
		}
		for who, token := range tokens {
			got := r.door(route, token)
			want := "in"
			switch {
			case allowed == anyone:
			case allowed == guests:
				if who != "visitor" {
					want = "401"
				}
			case who == "nobody" || who == "visitor" || who == "stranger":
				want = "401"
			case !slices.Contains(strings.Fields(allowed), who):
				want = "403"
			}
			if got != want {
				t.Errorf("%s as %s: %s, want %s", key, who, got, want)
			}
		}
	}
	for key := range may {
		if !known[key] {
			t.Errorf("%s is in the table but not in the router", key)
		}
	}
}

// door tries a route and says whether the caller got past the door: whatever
// then is wrong with the request is another matter.
func (r *rig) door(route api.Route, token string) string {
	r.Helper()
	path := strings.NewReplacer("{id}", chat.NewID[chat.Member]().String(), "{sha256}", strings.Repeat("ab", 32),
		"{slug}", "none", "{key}", "none", "{file}", "none").Replace(route.Path)
	if route.Path == "/v1/changes" || route.Path == "/v1/state" {
		path += "?after=0"
	}
	var body any
	if route.Method == http.MethodPost || route.Method == http.MethodPatch || route.Method == http.MethodPut {
		body = "{}"
	}
	a := r.do(route.Method, path, token, body)
	// Routes without a member answer 401 and 403 for their own reasons.
	if route.Access == api.Public {
		return "in"
	}
	switch a.status {
	case http.StatusUnauthorized:
		return "401"
	case http.StatusForbidden:
		return "403"
	}
	return "in"
}

func TestNobodyClimbsOverTheirRole(t *testing.T) {
	r := newRig(t, onSQLite(t))
	ada := r.member("Ada", chat.RoleAdmin)
	add := protocol.MemberAdd{Name: "Eve", Email: "eve@northwind.example", Role: chat.RoleOwner, Password: password}
	if a := r.do(http.MethodPost, "/v1/members", ada.Token, add); a.status != http.StatusForbidden {
		t.Errorf("an admin makes an owner: %d", a.status)
	}
	owner := chat.RoleOwner
	if a := r.do(http.MethodPatch, "/v1/members/"+ada.Member.ID.String(), ada.Token, protocol.MemberUpdate{Role: &owner}); a.status != http.StatusForbidden {
		t.Errorf("an admin becomes an owner: %d", a.status)
	}
	yes := true
	if a := r.do(http.MethodPatch, "/v1/members/"+r.owner.Member.ID.String(), ada.Token, protocol.MemberUpdate{Disabled: &yes}); a.status != http.StatusForbidden {
		t.Errorf("an admin disables the owner: %d", a.status)
	}
	if a := r.do(http.MethodPatch, "/v1/members/"+r.owner.Member.ID.String(), r.owner.Token, protocol.MemberUpdate{Disabled: &yes}); a.status != http.StatusConflict {
		t.Errorf("the last owner disables themself: %d", a.status)
	}
	add.Role = chat.RoleAgent
	if a := r.do(http.MethodPost, "/v1/members", ada.Token, add); a.status != http.StatusCreated || strings.Contains(string(a.body), "argon2") {
		t.Errorf("an admin adds an agent: %d %s", a.status, a.body)
	}
	if p := r.do(http.MethodPost, "/v1/members", ada.Token, add).problem(t); p.Code != chat.CodeConflict || p.Field != "email" {
		t.Errorf("the same e-mail again: %+v", p)
	}
	for field, bad := range map[string]protocol.MemberAdd{
		"email":    {Name: "X", Email: "nonsense", Role: chat.RoleAgent, Password: password},
		"role":     {Name: "X", Email: "x@y.example", Role: "god", Password: password},
		"password": {Name: "X", Email: "x@y.example", Role: chat.RoleAgent, Password: "short"},
		"brands":   {Name: "X", Email: "x@y.example", Role: chat.RoleAgent, Password: password, Brands: []chat.BrandID{chat.NewID[chat.Brand]()}},
	} {
		if p := r.do(http.MethodPost, "/v1/members", r.owner.Token, bad).problem(t); p.Status != http.StatusBadRequest || p.Field != field {
			t.Errorf("bad %s: %+v", field, p)
		}
	}
}
