package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/api"
)

// preflights are the addresses that also answer the questions of browsers,
// which no other program asks: they are not in the document.
var preflights = []string{"/v1/visitor/session", "/v1/visitor/messages", "/v1/visitor/files/{sha256}"}

// TestTheDocumentDescribesTheRouter checks OpenAPI and router against each
// other; docs/openapi.json is the document as committed.
func TestTheDocumentDescribesTheRouter(t *testing.T) {
	r := newRig(t, onSQLite(t))
	served := r.do(http.MethodGet, "/openapi.json", "", nil)
	doc, err := openapi3.NewLoader().LoadFromData(served.body)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("the document is not valid OpenAPI: %v", err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %s", doc.OpenAPI)
	}
	inRouter := map[string]bool{}
	for _, route := range r.srv.Routes() {
		inRouter[route.Method+" "+route.Path] = true
		if item := doc.Paths.Value(route.Path); item == nil || item.GetOperation(route.Method) == nil {
			t.Errorf("%s %s is not in the document", route.Method, route.Path)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !inRouter[method+" "+path] {
				t.Errorf("%s %s is in the document but not in the router", method, path)
			}
		}
		if got, want := r.allowed(path), documented(path, item); got != want {
			t.Errorf("%s answers to %s, the document says %s", path, got, want)
		}
	}
	golden(t, filepath.Join("..", "..", "docs", "openapi.json"), bytes.Replace(served.body, []byte(`"version": "test"`), []byte(`"version": "1"`), 1))
}

// allowed asks the router itself which methods an address has.
func (r *rig) allowed(path string) string {
	r.Helper()
	path = strings.NewReplacer("{id}", chat.NewID[chat.Member]().String(), "{sha256}", strings.Repeat("ab", 32),
		"{slug}", "none", "{key}", "none", "{file}", "none").Replace(path)
	methods := strings.Split(r.do("BREW", path, "", nil).header.Get("Allow"), ", ")
	slices.Sort(methods)
	return strings.Join(methods, " ")
}

// documented gives the methods of the document as the router names them: what
// answers to GET answers to HEAD.
func documented(path string, item *openapi3.PathItem) string {
	methods := slices.Collect(maps.Keys(item.Operations()))
	if item.Get != nil && item.Head == nil {
		methods = append(methods, http.MethodHead)
	}
	if slices.Contains(preflights, path) {
		methods = append(methods, http.MethodOptions)
	}
	slices.Sort(methods)
	return strings.Join(methods, " ")
}

// TestEveryCommandIsInTheDocument: and nothing else is.
func TestEveryCommandIsInTheDocument(t *testing.T) {
	var wanted, got []string
	for _, what := range declared(t, "protocol") {
		if kind, ok := strings.CutPrefix(what, "command="); ok {
			wanted = append(wanted, kind)
		}
	}
	for _, k := range api.CommandKinds() {
		got = append(got, k.Kind)
	}
	if slices.Sort(wanted); !slices.Equal(wanted, slices.Sorted(slices.Values(got))) {
		t.Errorf("the document has the commands %v, the protocol %v", got, wanted)
	}
	var entities []string
	for _, k := range api.EntityKinds() {
		entities = append(entities, "chat.EntityKind="+string(k.Kind))
	}
	for _, what := range declared(t, "chat") {
		if strings.HasPrefix(what, "chat.EntityKind=") && !slices.Contains(entities, what) {
			t.Errorf("the document does not say what the data of %s is", what)
		}
	}
}

// TestEveryGoldenIsAsDocumented holds every request, answer and frame that is
// kept against the schema that the document names for it.
func TestEveryGoldenIsAsDocumented(t *testing.T) {
	r := bareRig(t, onSQLite(t))
	d := strictDocument(t, r.do(http.MethodGet, "/openapi.json", "", nil).body)
	for name, x := range exchanges(t) {
		if x.Close != nil {
			continue
		}
		var err error
		if x.Frame != nil {
			err = d.frame(x)
		} else {
			err = d.exchange(r.srv.Routes(), x)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// document is the OpenAPI document, read so that its objects have no fields
// but those it names. Readers are more patient: they pass over what is new.
type document struct{ *openapi3.T }

func strictDocument(t *testing.T, raw []byte) document {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	for name, schema := range tree["components"].(map[string]any)["schemas"].(map[string]any) {
		o := schema.(map[string]any)
		if o["properties"] == nil {
			t.Errorf("the schema %s has no properties", name)
		}
		o["additionalProperties"] = false
	}
	strict, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(strict)
	if err != nil {
		t.Fatal(err)
	}
	exact := func(form string) openapi3.StringFormatValidator { return openapi3.NewRegexpFormatValidator(form) }
	doc.SetStringFormatValidator("uuid", exact(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`))
	doc.SetStringFormatValidator("date-time", exact(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`))
	return document{doc}
}

func (d document) exchange(routes []api.Route, x exchange) error {
	route, ok := routeOf(routes, x.Request.Method, x.Request.Path)
	if !ok {
		if x.Answer.Status < 400 {
			return errors.New("an address that is not in the document answers")
		}
		return d.fits(d.Components.Schemas["Problem"], x.Answer.Body)
	}
	op := d.Paths.Value(route.Path).GetOperation(route.Method)
	if err := d.parameters(op, x.Request); err != nil {
		return err
	}
	if x.Answer.Status < 400 && !refusedAsInvalid(x) { // what is refused may be anything
		if err := d.request(op, x.Request); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	if err := d.data(x); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := d.answer(op, x); err != nil {
		return fmt.Errorf("answer %d: %w", x.Answer.Status, err)
	}
	return nil
}

// refusedAsInvalid reports whether a command of the request is not what it
// should be.
func refusedAsInvalid(x exchange) bool {
	var out protocol.Results
	_ = json.Unmarshal(x.Answer.Body, &out) // other answers have no results
	return slices.ContainsFunc(out.Results, func(r protocol.Result) bool { return r.Problem != nil && r.Problem.Code == chat.CodeInvalid })
}

// parameters: what stands in the query and in headers of ours is documented,
// and what the document needs is there.
func (d document) parameters(op *openapi3.Operation, r *wireRequest) error {
	_, raw, _ := strings.Cut(r.Path, "?")
	query, err := url.ParseQuery(raw)
	if err != nil {
		return err
	}
	for name := range query {
		if op.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("the parameter %s is not in the document", name)
		}
	}
	for _, p := range op.Parameters {
		if p.Value.In == "query" && p.Value.Required && !query.Has(p.Value.Name) {
			return fmt.Errorf("the parameter %s is missing", p.Value.Name)
		}
	}
	for _, name := range []string{"Content-Range", "X-Filename"} {
		if r.Headers[name] != "" && op.Parameters.GetByInAndName("header", name) == nil {
			return fmt.Errorf("the header %s is not in the document", name)
		}
	}
	return nil
}

func (d document) request(op *openapi3.Operation, r *wireRequest) error {
	if op.RequestBody == nil {
		if !r.empty() {
			return errors.New("a body that is not in the document")
		}
		return nil
	}
	if plain := op.RequestBody.Value.Content.Get("application/json"); plain.Schema != nil {
		return d.fits(plain.Schema, r.Body)
	}
	return nil
}

// answer holds an answer against what the document says of its status.
func (d document) answer(op *openapi3.Operation, x exchange) error {
	response := op.Responses.Value(strconv.Itoa(x.Answer.Status))
	if response == nil {
		if x.Answer.Status < 400 {
			return errors.New("a success that is not in the document")
		}
		response = op.Responses.Default()
	}
	for name, h := range response.Value.Headers {
		if v := x.Answer.Headers[name]; v != "" {
			if err := d.fits(h.Value.Schema, fmt.Appendf(nil, "%q", v)); err != nil {
				return fmt.Errorf("header %s: %w", name, err)
			}
		}
	}
	if x.Request.Method == http.MethodHead {
		return nil
	}
	content := response.Value.Content
	if len(content) == 0 {
		if !x.Answer.empty() {
			return errors.New("a body that is not in the document")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(x.Answer.Type)
	if err != nil {
		return fmt.Errorf("type %q: %w", x.Answer.Type, err)
	}
	media := content[kind]
	if media == nil {
		media = content["*/*"]
	}
	if media == nil {
		return fmt.Errorf("%s is not in the document", kind)
	}
	if media.Schema == nil {
		return nil
	}
	if kind != "application/x-ndjson" {
		return d.fits(media.Schema, x.Answer.Body)
	}
	for i, line := range x.Answer.Lines {
		if err := d.fits(media.Schema, line); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
	}
	return nil
}

// data holds the data of results against what the document says of their
// commands.
func (d document) data(x exchange) error {
	for kind, data := range dataOf(x) {
		for _, is := range d.Components.Schemas["Command"].Value.OneOf {
			if is.Value.Title != kind {
				continue
			}
			ref, err := json.Marshal(is.Value.Extensions["x-data"])
			if err != nil {
				return err
			}
			err = d.fits(d.named(ref), data)
			if later := is.Value.Extensions["x-data-later"]; err != nil && later != nil {
				if ref, err = json.Marshal(later); err == nil {
					err = d.fits(d.named(ref), data)
				}
			}
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	return nil
}

// frame holds a frame against the schemas that the document names for its
// socket; one of them must fit.
func (d document) frame(x exchange) error {
	raw, err := json.Marshal(d.Paths.Value(x.Socket).Get.Extensions["x-frames"])
	if err != nil {
		return err
	}
	var refs []json.RawMessage
	if err := json.Unmarshal(raw, &refs); err != nil || len(refs) == 0 {
		return fmt.Errorf("the document does not describe the frames of %s", x.Socket)
	}
	var wrong error
	for _, ref := range refs {
		err := d.fits(d.named(ref), x.Frame)
		if err == nil {
			return nil
		}
		wrong = errors.Join(wrong, err)
	}
	return wrong
}

// named finds the schema that {"$ref": …} names; anything else is an object
// without fields.
func (d document) named(ref json.RawMessage) *openapi3.SchemaRef {
	var to struct {
		Ref string `json:"$ref"`
	}
	_ = json.Unmarshal(ref, &to) // no reference, no name
	if s := d.Components.Schemas[strings.TrimPrefix(to.Ref, "#/components/schemas/")]; s != nil {
		return s
	}
	nothing := openapi3.NewObjectSchema().WithoutAdditionalProperties()
	return nothing.NewRef()
}

func (d document) fits(schema *openapi3.SchemaRef, raw json.RawMessage) error {
	if raw == nil {
		return errors.New("there is no body")
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	return d.ValidateSchemaJSON(schema.Value, v, openapi3.EnableJSONSchema2020(),
		openapi3.SetSchemaErrorMessageCustomizer(func(err *openapi3.SchemaError) string { return err.Reason }))
}
