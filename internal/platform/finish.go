package platform

import (
	"context"
	"time"

	"claude-bottle/internal/wire"
)

// finishPatience is how long a bottle that is closed waits for a renewal that
// its gateway has begun: no shorter than that takes at most.
const finishPatience = wire.RenewalTime + wire.KeepTime + 2*time.Second

// Finish waits for a renewal of a login that the gateway has begun, before it is
// ended, and for finishPatience at most. gateway is nil for a bottle that another
// process launched, whose renewals are that one's.
func Finish(gateway *wire.GatewayClient) {
	if gateway == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishPatience)
	defer cancel()
	gateway.Finish(ctx)
}
