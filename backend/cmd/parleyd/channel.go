package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"parley/backend/chat"
	"parley/backend/server"
)

// channelAnswer is a channel for --json; the secret only when it was asked for.
type channelAnswer struct {
	chat.Channel
	Secret string `json:"secret,omitempty"`
}

// channel changes what the widget on a company's own site needs: the pages
// that may embed it and its title. Without a change it shows what is set.
func (p program) channel(ctx context.Context, args []string) (err error) {
	if len(args) == 0 || args[0] != "set" {
		return chat.Errorf(chat.CodeInvalid, "What to do with a channel? There is: parleyd channel set.")
	}
	fs := flag.NewFlagSet("channel set", flag.ContinueOnError)
	pl := placeFlags(fs)
	name := fs.String("channel", "", "id, key or slug of a web channel; default: the only one")
	var origins originList
	fs.Var(&origins, "origin", "page that may embed the widget, like https://shop.example; may be repeated; replaces the list, '' empties it")
	title := fs.String("title", "", "what stands at the top of the widget")
	showSecret := fs.Bool("show-secret", false, "print the secret that proves who a visitor is (user_hash)")
	asJSON := fs.Bool("json", false, "answer as JSON")
	if err := p.flags(fs, args[1:]); err != nil {
		return err
	}
	update := server.ChannelUpdate{Channel: *name, Origins: origins.list}
	if *title != "" {
		update.Title = title
	}
	fs.Visit(func(f *flag.Flag) {
		if f.Name == "title" { // --title '' takes it away
			update.Title = title
		}
	})
	srv, err := p.existingBackend(ctx, pl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown(srv)) }()
	c, err := srv.UpdateChannel(ctx, update)
	if err != nil {
		return err
	}
	answer := channelAnswer{Channel: c}
	if *showSecret {
		answer.Secret = c.Secret
	}
	pages := strings.Join(c.Settings.Origins, ", ")
	if pages == "" {
		pages = "no page but its own"
	}
	if err := p.say(*asJSON, answer, "Channel %s (key %s, page /c/%s) may be embedded by: %s.\n", c.Name, c.Key, c.Slug, pages); err != nil {
		return err
	}
	if *showSecret && !*asJSON {
		_, err = fmt.Fprintf(p.stdout, "Its secret is %s. Keep it on your server: never send it to a browser.\n", c.Secret)
	}
	return err
}

// originList is --origin, which may be repeated; nil: it was not given.
type originList struct{ list *[]string }

func (l *originList) String() string {
	if l.list == nil {
		return ""
	}
	return strings.Join(*l.list, " ")
}

// Set adds an origin; an empty one takes all before it away.
func (l *originList) Set(s string) error {
	if l.list == nil || s == "" {
		l.list = &[]string{}
	}
	if s != "" {
		*l.list = append(*l.list, s)
	}
	return nil
}
