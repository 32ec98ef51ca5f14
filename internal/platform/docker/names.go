package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// Labels on everything that bottles leave in an engine. They find a run's
// objects again when its ledger is lost.
const (
	labelOwner    = "claude-bottle.owner"    // ownerOf
	labelRun      = "claude-bottle.run"      // the run's id
	labelAgent    = "claude-bottle.agent"    // the agent's name in the manifest
	labelRole     = "claude-bottle.role"     // one of the roles
	labelManifest = "claude-bottle.manifest" // hash of the manifest files
	labelBinary   = "claude-bottle.binary"   // hash of our binary that the object uses
	labelPipelock = "claude-bottle.pipelock" // on a gateway that is pipelock: its port
	labelRecipe   = "claude-bottle.recipe"   // on an image: hash of the recipe it was built from
)

// Roles of labelled objects.
const (
	roleAgent   = "agent"
	roleGateway = "gateway"
	roleBottle  = "bottle" // a run's internal network
	roleEgress  = "egress" // the owner's shared network
	roleImage   = "image"  // never started: files of an image are read out of it
)

// names are those of one run's engine objects. They share the bottle's name,
// and with it its suffix; the dot cannot occur in a slug, so that no agent's
// name leads to another agent's gateway.
type names struct {
	Agent   string // the container, and the bottle's name
	Gateway string
	Network string
}

func namesOf(bottle string) names {
	return names{Agent: bottle, Gateway: bottle + ".gateway", Network: bottle + ".network"}
}

// freeName is the first of slug's names that nothing uses.
func freeName(slug string, inUse map[string]bool) (string, error) {
	for n := 1; n <= platform.LastSuffix; n++ {
		if name := platform.BottleName(slug, n); !namesOf(name).taken(inUse) {
			return name, nil
		}
	}
	return "", hint.With(fmt.Errorf("no free container name: %s to %s are all taken",
		platform.BottleName(slug, 1), platform.BottleName(slug, platform.LastSuffix)),
		"remove old ones with `claude-bottle cleanup`, or with `docker rm -f NAME`")
}

// taken says whether any of n's names is in use.
func (n names) taken(inUse map[string]bool) bool {
	return inUse[n.Agent] || inUse[n.Gateway] || inUse[n.Network]
}

func errPinnedTaken(name string) error {
	return hint.With(fmt.Errorf("container %s already exists (pinned by CLAUDE_BOTTLE_CONTAINER)", name),
		"remove it with `docker rm -f "+name+"`, or unset CLAUDE_BOTTLE_CONTAINER")
}

// ownerOf is who bottles belong to: a hash of this machine, the user and the
// state directory. Objects of other owners are never touched.
func ownerOf(uid int, stateDir string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", machine(), uid, stateDir))
	return hex.EncodeToString(sum[:8])
}

// machine names this host; it outlives a change of the host's name where the
// system has a machine id.
func machine() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 1 {
		return strings.TrimSpace(string(id))
	}
	name, _ := os.Hostname()
	return name
}

// egressName is what the owner's egress network is called. Two launches may
// make one each at the same instant; each adds something of its own to the
// name, since an engine that finds two networks by one name starts no
// container on either.
func egressName(owner string) string { return egressPrefix + owner }

const egressPrefix = "claude-bottle-egress."
