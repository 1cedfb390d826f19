package demo

import (
	"encoding/hex"
	"time"

	"parley/backend/chat"
)

// The brands, by index.
const (
	coffee = iota
	creator
	agency
)

// channelPlan is one channel to make. Weight is its share of the brand's
// customers.
type channelPlan struct {
	brand     int
	kind      chat.ChannelKind
	name      string
	slug      string
	weight    int
	assistant bool
}

func channelPlans() []channelPlan {
	return []channelPlan{
		{coffee, chat.KindWeb, "northwind.example", "northwind-coffee", 30, true},
		{coffee, chat.KindWhatsApp, "+49 30 5550 142", "", 26, true},
		{coffee, chat.KindInstagram, "@northwind.coffee", "", 16, true},
		{coffee, chat.KindFacebook, "Northwind Coffee", "", 7, false},
		{coffee, chat.KindEmail, "hello@northwind.example", "", 13, false},
		{coffee, chat.KindShopify, "northwind.shop.example", "", 8, false},
		{creator, chat.KindWeb, "mirasolis.example", "mira-solis", 18, false},
		{creator, chat.KindInstagram, "@mira.solis", "", 30, true},
		{creator, chat.KindTelegram, "@mirasolis_studio", "", 24, false},
		{creator, chat.KindMessenger, "Mira Solis", "", 16, false},
		{creator, chat.KindGeneric, "Mira's Circle", "", 12, false},
		{agency, chat.KindWeb, "harborandfield.example", "harbor-and-field", 40, true},
		{agency, chat.KindEmail, "desk@harborandfield.example", "", 40, false},
		{agency, chat.KindWhatsApp, "+44 20 5550 0177", "", 20, false},
	}
}

// company makes everything that exists once.
func (s *Set) company() {
	r := s.source(streamCompany, 0)
	founded := s.opts.Now.Add(-900 * 24 * time.Hour)
	s.Workspace = chat.Workspace{ID: newID[chat.Workspace](r, founded), Name: "Northwind Coffee", Settings: chat.DefaultWorkspaceSettings()}
	for i, b := range []struct{ name, color string }{
		{"Northwind Coffee", "#b4643c"}, {"Mira Solis", "#8a5cd6"}, {"Harbor & Field", "#2f7f79"},
	} {
		s.Brands = append(s.Brands, chat.Brand{ID: newID[chat.Brand](r, founded), Name: b.name, Color: b.color, Position: i + 1})
	}
	s.assistant = chat.Actor{Kind: chat.ActorAssistant, ID: newID[chat.Actor](r, founded).String()}
	for _, p := range s.plans {
		c := chat.Channel{ID: newID[chat.Channel](r, founded), Brand: s.Brands[p.brand].ID, Kind: p.kind, Name: p.name, Slug: p.slug}
		if p.kind == chat.KindWeb {
			key := newID[chat.Channel](r, founded)
			c.Key = "pk_" + hex.EncodeToString(key[8:])
			c.Settings = chat.ChannelSettings{
				Origins: []string{"https://" + p.name}, Title: s.Brands[p.brand].Name, Color: s.Brands[p.brand].Color,
				Greeting: "Hello! How can we help you today?", Theme: "system",
				Suggested: []string{"Where is my order?", "I would like a refund", "I need an invoice"},
			}
		}
		s.Channels = append(s.Channels, c)
	}
	s.members(founded)
}

func (s *Set) members(founded chat.Time) {
	r := s.source(streamCompany, 1)
	s.brandAgents = make([][]int, len(s.Brands))
	for i, m := range []struct {
		name, email string
		role        chat.Role
		brands      []int
	}{
		{"Olivia Reyes", "olivia", chat.RoleOwner, nil},
		{"Anton Weber", "anton", chat.RoleAdmin, nil},
		{"Soraya Haddad", "soraya", chat.RoleSupervisor, nil},
		{"Lena Fischer", "lena", chat.RoleAgent, nil},
		{"Tomás Oliveira", "tomas", chat.RoleAgent, nil},
		{"Yuki Tanaka", "yuki", chat.RoleAgent, nil},
		{"Daria Kowalczyk", "daria", chat.RoleAgent, nil},
		{"Noah Okafor", "noah", chat.RoleAgent, []int{creator}},
	} {
		member := chat.Member{
			ID: newID[chat.Member](r, founded), Name: m.name, Email: m.email + "@northwind.example", Role: m.role,
			Brands: []chat.BrandID{}, Settings: chat.MemberSettings{ReadMode: "on_reply"},
		}
		for _, b := range m.brands {
			member.Brands = append(member.Brands, s.Brands[b].ID)
		}
		for b := range s.Brands {
			if m.role != chat.RoleOwner && chat.ViewOf(member).Sees(s.Brands[b].ID) {
				s.brandAgents[b] = append(s.brandAgents[b], i)
			}
		}
		s.Members = append(s.Members, member)
	}
}
