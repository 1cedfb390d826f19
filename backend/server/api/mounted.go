package api

import (
	"net/http"

	"parley/backend/protocol"
)

// page is the type of what people see in a browser.
const page = "text/html"

// mounted documents the routes of the web channel, which answers them itself.
func mounted() []Route {
	return []Route{
		{Method: http.MethodGet, Path: "/c/{slug}", Access: Public, Summary: "The share-link page of a web channel.", Status: 200, AnswerType: page},
		{Method: http.MethodGet, Path: "/widget.js", Access: Public, Summary: "The widget, for a script tag on the company's pages.",
			Query: []Param{{"channel", "string", true, "The public key of the web channel."}}, Status: 200, AnswerType: "text/javascript", Others: []Other{unchanged}},
		{Method: http.MethodGet, Path: "/widget/{key}", Access: Public, Summary: "The widget's frame; only pages of the channel's origins may embed it.", Status: 200, AnswerType: page},
		{Method: http.MethodGet, Path: "/widget/asset/{file}", Access: Public, Summary: "Scripts and styles of the customers' pages.", Status: 200, AnswerType: anything, Others: []Other{unchanged}},
		{Method: http.MethodPost, Path: "/v1/visitor/session", Access: Public, Summary: "Open the widget: a new visitor, or the one of a token.",
			Body: protocol.VisitorSession{}, Status: 200, Answer: protocol.VisitorSessionAnswer{}},
		{Method: http.MethodPost, Path: "/v1/visitor/messages", Access: Visitor, Summary: "Say something; once per id.",
			Body: protocol.VisitorSend{}, Status: 200, Answer: protocol.VisitorSent{}},
		{Method: http.MethodGet, Path: "/v1/visitor/messages", Access: Visitor, Summary: "What the visitor may see after a number.",
			Query: []Param{{"after", "integer", false, "A message number."}}, Status: 200, Answer: protocol.VisitorMessages{}},
		{Method: http.MethodHead, Path: "/v1/visitor/files/{sha256}", Access: Visitor, Summary: "200 if the server has the file.", Status: 200},
		{Method: http.MethodPut, Path: "/v1/visitor/files/{sha256}", Access: Visitor, Summary: "Upload a file, whole or in pieces with Content-Range.",
			Headers: ofUpload(), BodyType: anything, Status: 201, Answer: protocol.VisitorFile{}},
		{Method: http.MethodGet, Path: "/v1/visitor/files/{sha256}", Access: Visitor, Summary: "The content of a file of the visitor's own conversation.",
			Status: 200, AnswerType: anything, Others: ofContent()},
		{Method: http.MethodGet, Path: "/v1/visitor/live", Access: Visitor, Summary: "The visitor's live socket (WebSocket); the token comes in the first frame.", Status: 101,
			Frames: []any{protocol.VisitorFrame{}, protocol.VisitorMessageFrame{}}},
	}
}
