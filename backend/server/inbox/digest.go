package inbox

import (
	"context"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// Digest compares what a client holds at a position with what there is.
func (in *Inbox) Digest(ctx context.Context, p Principal, d protocol.Digest) (protocol.DigestAnswer, error) {
	var epoch string
	if err := in.checkEpoch(ctx, p.Workspace, d.Epoch, &epoch); err != nil {
		return protocol.DigestAnswer{}, err
	}
	client, err := protocol.DigestOf(d.Buckets)
	if err != nil {
		return protocol.DigestAnswer{}, err
	}
	sum, changed, head, err := in.store.Digest(ctx, p.Workspace, p.View(), d.Position, d.Since)
	if err != nil {
		return protocol.DigestAnswer{}, err
	}
	return protocol.DigestAnswer{Head: head, Access: accessOf(p), Changed: changed, Differ: protocol.Compare(sum, client)}, nil
}

// accessOf is what a principal may see, in the words of the protocol.
func accessOf(p Principal) chat.Access {
	a := chat.Access{Member: p.Member.ID, Role: p.Member.Role, Brands: p.Member.Brands}
	if a.Brands == nil {
		a.Brands = []chat.BrandID{}
	}
	return a
}
