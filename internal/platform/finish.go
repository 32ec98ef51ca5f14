package platform

import (
	"context"
	"time"

	"claude-bottle/internal/wire"
)

// finishPatience is how long a bottle that is closed waits for a renewal that
// its gateway has begun: no shorter than that takes at most.
const finishPatience = wire.RenewalTime + wire.KeepTime + 2*time.Second

// Finish is the gateway's, for one that was launched here; else it is nil.
func Finish(gateway *wire.GatewayClient) {
	if gateway == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishPatience)
	defer cancel()
	gateway.Finish(ctx)
}
