package inbox

import (
	"context"
	"fmt"
	"slices"
)

// OriginListed reports whether any web channel allows a page of this origin to
// embed it. It answers the question a browser asks before it says which
// channel it is about; the request that follows is checked against that one.
func (in *Inbox) OriginListed(ctx context.Context, origin string) (bool, error) {
	all, err := in.store.Workspaces(ctx)
	if err != nil {
		return false, fmt.Errorf("list origins: %w", err)
	}
	for _, ws := range all {
		channels, err := in.store.Channels(ctx, ws.ID, everything)
		if err != nil {
			return false, fmt.Errorf("list origins: %w", err)
		}
		for _, ch := range channels {
			if slices.Contains(ch.Settings.Origins, origin) {
				return true, nil
			}
		}
	}
	return false, nil
}
