package inbox

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/store"
)

// The most that a channel's settings hold.
const (
	maxOrigins  = 100
	maxTitle    = 200
	maxGreeting = 2000
)

// ChannelUpdate is what to change of a web channel; nil fields stay.
type ChannelUpdate struct {
	Origins  *[]string
	Title    *string
	Greeting *string
	Receipts *string
}

// channelPut changes the settings of a web channel.
func (d *deed) channelPut(args protocol.ChannelPutArgs) (effect, error) {
	if args.Channel.IsZero() {
		return effect{}, chat.Invalid("channel", "The channel is missing.")
	}
	ch, err := d.tx.Channel(args.Channel)
	if isNotFound(err) || err == nil && !d.view.Sees(ch.Brand) {
		return effect{}, notFound("channel")
	}
	if err != nil {
		return effect{}, err
	}
	changed, err := changeChannel(&ch, ChannelUpdate{Origins: args.Origins, Title: args.Title, Greeting: args.Greeting, Receipts: args.Receipts})
	if err != nil {
		return effect{}, err
	}
	if changed {
		if err := d.tx.PutChannel(&ch, d.meta); err != nil {
			return effect{}, err
		}
	}
	return effect{entity: ch, seq: ch.Ver, forget: func(in *Inbox) { in.forgetChannel(ch.ID) }}, nil
}

// UpdateChannel changes the settings of a web channel on behalf of the
// server's operator. name is its id, key or slug; "" is the only one there is.
func (in *Inbox) UpdateChannel(ctx context.Context, ws chat.WorkspaceID, by Author, name string, u ChannelUpdate) (chat.Channel, error) {
	id, err := in.channelNamed(ctx, ws, name)
	if err != nil {
		return chat.Channel{}, err
	}
	var ch chat.Channel
	err = in.update(ctx, ws, func(tx *store.Tx) error {
		var err error
		if ch, err = tx.Channel(id); err != nil {
			return err
		}
		changed, err := changeChannel(&ch, u)
		if err != nil || !changed {
			return err
		}
		return tx.PutChannel(&ch, store.Meta{Actor: by.Actor})
	})
	if err != nil {
		return ch, fmt.Errorf("change channel: %w", err)
	}
	in.forgetChannel(id)
	return ch, nil
}

func (in *Inbox) channelNamed(ctx context.Context, ws chat.WorkspaceID, name string) (chat.ChannelID, error) {
	all, err := in.store.Channels(ctx, ws, everything)
	if err != nil {
		return chat.ChannelID{}, fmt.Errorf("find channel: %w", err)
	}
	all = slices.DeleteFunc(all, func(c chat.Channel) bool { return c.Kind != chat.KindWeb })
	if name == "" {
		if len(all) != 1 {
			return chat.ChannelID{}, chat.Invalid("channel", "There are %d web channels. Say which one is meant, by its id, key or slug.", len(all))
		}
		return all[0].ID, nil
	}
	for _, c := range all {
		if c.ID.String() == name || c.Key == name || c.Slug == name {
			return c.ID, nil
		}
	}
	return chat.ChannelID{}, chat.Errorf(chat.CodeNotFound, "There is no web channel with the id, key or slug %q.", clip(name))
}

// changeChannel takes over what the update names and tells whether that
// changes anything.
func changeChannel(ch *chat.Channel, u ChannelUpdate) (bool, error) {
	if ch.Kind != chat.KindWeb {
		return false, chat.Invalid("channel", "Only web channels have these settings.")
	}
	s := ch.Settings
	if u.Origins != nil {
		list, err := canonicalOrigins(*u.Origins)
		if err != nil {
			return false, err
		}
		s.Origins = list
	}
	if err := putText("title", u.Title, maxTitle, &s.Title); err != nil {
		return false, err
	}
	if err := putText("greeting", u.Greeting, maxGreeting, &s.Greeting); err != nil {
		return false, err
	}
	if err := putChoice("receipts", u.Receipts, &s.Receipts, "on", "off"); err != nil {
		return false, err
	}
	changed := !slices.Equal(s.Origins, ch.Settings.Origins) || s.Title != ch.Settings.Title ||
		s.Greeting != ch.Settings.Greeting || s.Receipts != ch.Settings.Receipts
	ch.Settings = s
	return changed, nil
}

// canonicalOrigins gives origins as browsers write them, each once.
func canonicalOrigins(list []string) ([]string, error) {
	if len(list) > maxOrigins {
		return nil, chat.Invalid("origins", "At most %d origins are possible.", maxOrigins)
	}
	var out []string
	for i, s := range list {
		o, ok := canonicalOrigin(s)
		if !ok {
			return nil, chat.Invalid("origins."+strconv.Itoa(i), "An origin is a scheme and a host, like https://shop.example or http://localhost:3000, without a path.")
		}
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out, nil
}

func canonicalOrigin(s string) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || len(s) > 300 || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.RawQuery != "" || u.ForceQuery ||
		u.User != nil || strings.Contains(s, "#") {
		return "", false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if !isHost(host) || strings.HasSuffix(u.Host, ":") {
		return "", false
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		return u.Scheme + "://" + host, true
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", false
	}
	return u.Scheme + "://" + host + ":" + port, true
}

// isHost reports whether a name is written as browsers write it in an origin.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// forgetChannel drops what memory knows of a channel.
func (in *Inbox) forgetChannel(id chat.ChannelID) {
	in.channels.dropIf(func(c placedChannel) bool { return c.channel.ID == id })
}
