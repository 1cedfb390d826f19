package api

import (
	"encoding/json"
	"reflect"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// object is a piece of a JSON document.
type object map[string]any

// schemas collects JSON Schemas of Go types, each once, by name. The JSON of
// the protocol is the JSON of those types, so the schema is read from them.
type schemas struct {
	components object
}

func newSchemas() *schemas { return &schemas{components: object{}} }

// words are the values of the types that are closed lists.
var words = map[reflect.Type][]string{
	reflect.TypeFor[chat.Role]():          {"owner", "admin", "supervisor", "agent"},
	reflect.TypeFor[chat.HandoffState]():  {"assistant", "escalated", "requested", "agent", "paused", "closed"},
	reflect.TypeFor[chat.Status]():        {"open", "resolved", "closed"},
	reflect.TypeFor[chat.ActorKind]():     {"customer", "member", "assistant", "flow", "system"},
	reflect.TypeFor[chat.MessageKind]():   {"message", "comment", "event"},
	reflect.TypeFor[chat.DeliveryState](): {"queued", "sent", "delivered", "read", "failed"},
	reflect.TypeFor[chat.Op]():            {"put", "delete"},
	reflect.TypeFor[protocol.Status]():    {"applied", "duplicate", "refused"},
}

// nullable are the ids and times that are null where there is none. All others
// are always there, or left out.
var nullable = map[string]bool{
	"Conversation.assignee": true, "Conversation.last_customer_at": true,
	"AssignArgs.member": true,
}

// of gives the schema of a value's type: a reference for our structs.
func (s *schemas) of(v any) object { return s.schema(reflect.TypeOf(v)) }

func describe(v any) string {
	if name := reflect.TypeOf(v).Name(); name != "" {
		return name
	}
	return "an empty object"
}

func (s *schemas) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[chat.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	case strings.HasPrefix(t.Name(), "ID["):
		return object{"type": "string", "format": "uuid"}
	case words[t] != nil:
		return object{"type": "string", "enum": words[t]}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		list := object{"type": "array", "items": s.schema(t.Elem())}
		if t.Kind() == reflect.Array {
			list["minItems"], list["maxItems"] = t.Len(), t.Len()
		}
		return list
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return object{"type": "object"}
		}
		if _, known := s.components[t.Name()]; !known {
			o := object{"type": "object"}
			s.components[t.Name()] = o // before its fields: types may contain themselves
			s.fields(o, t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	return object{"type": "integer"}
}

func (s *schemas) fields(o object, t reflect.Type) {
	properties := object{}
	var required []string
	s.addFields(properties, &required, t)
	o["properties"] = properties
	if len(required) > 0 {
		o["required"] = required
	}
}

func (s *schemas) addFields(properties object, required *[]string, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			s.addFields(properties, required, f.Type)
			continue
		case name == "":
			name = f.Name
		}
		schema := s.schema(f.Type)
		optional := strings.Contains(options, "omit")
		if f.Type.Kind() == reflect.Pointer && !optional { // always there, maybe null
			schema = object{"oneOf": []object{schema, {"type": "null"}}}
		}
		if nullable[t.Name()+"."+name] {
			schema["type"] = []any{schema["type"], "null"}
		}
		properties[name] = schema
		if !optional && !isRequest(t) {
			*required = append(*required, name)
		}
	}
}

// isRequest reports whether a type comes from clients: what they leave out is
// the zero value, and what must be there is checked, and named, by the server.
func isRequest(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[protocol.Setup](), reflect.TypeFor[protocol.SignIn](), reflect.TypeFor[protocol.MemberAdd](),
		reflect.TypeFor[protocol.VisitorSession](), reflect.TypeFor[protocol.VisitorSend](), reflect.TypeFor[chat.Command]():
		return true
	}
	return strings.HasSuffix(t.Name(), "Args") || strings.HasSuffix(t.Name(), "Update")
}
