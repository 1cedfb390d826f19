package auth

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"parley/backend/chat"
)

// Proxies are the networks whose X-Forwarded-For is believed. Of anybody else
// it is a claim that costs nothing, and would get around every limit that goes
// by address.
type Proxies []netip.Prefix

// ParseProxies reads networks ("10.0.0.0/8") and single addresses.
func ParseProxies(list []string) (Proxies, error) {
	var out Proxies
	for _, s := range list {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, chat.Invalid("trusted_proxy", "%q is neither an address nor a network like 10.0.0.0/8.", s)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Address is where a request comes from: the peer of the connection, or, where
// that is a proxy of ours, the last address in X-Forwarded-For that is not.
func (p Proxies) Address(r *http.Request) string {
	peer, ok := parseAddr(r.RemoteAddr)
	if !ok || !p.has(peer) {
		return r.RemoteAddr
	}
	from := r.RemoteAddr
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, ok := parseAddr(strings.TrimSpace(hop))
		if !ok {
			break
		}
		from = a.String()
		if !p.has(a) {
			break
		}
	}
	return from
}

func (p Proxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

func parseAddr(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err == nil
}
