package doctor

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// version is that of an engine's component. Versions are compared by number;
// a pre-release comes before its release.
type version struct {
	numbers [3]int
	pre     int // of alpha, beta, rc; released is last
	preN    int
}

// released is the pre of a version that is no pre-release.
const released = 4

// versionForm takes upstream's "1.4.0-rc.3" and "v29.5.1" and Debian's
// "1.0.0~rc93+ds1".
var versionForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-~.]?(alpha|beta|rc)\.?(\d+))?(.*)$`)
})

// parseVersion is false for what has no numbers, as a build from a checkout.
func parseVersion(text string) (version, bool) {
	m := versionForm().FindStringSubmatch(text)
	if m == nil {
		return version{}, false
	}
	v := version{pre: released}
	for i := range v.numbers {
		v.numbers[i], _ = strconv.Atoi(m[1+i])
	}
	if m[4] != "" {
		v.pre = slices.Index([]string{"alpha", "beta", "rc"}, m[4])
		v.preN, _ = strconv.Atoi(m[5])
	}
	return v, true
}

func (v version) compare(w version) int {
	return cmp.Or(
		slices.Compare(v.numbers[:], w.numbers[:]),
		cmp.Compare(v.pre, w.pre),
		cmp.Compare(v.preN, w.preN),
	)
}

// line is the release line that a version belongs to.
func (v version) line() [2]int { return [2]int{v.numbers[0], v.numbers[1]} }

// packaged are what distributions put into versions of packages that they
// build themselves, from their own sources with their own patches.
var packaged = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[+~-]ds\d|dfsg|ubuntu|\+deb|[.-](el|fc|amzn|azl|lp)\d|suse`)
})

// isPackaged says that a distribution built it, so that a fix may be in it
// although the number is lower than the fix's.
func isPackaged(versions ...string) bool {
	return slices.ContainsFunc(versions, func(v string) bool { return packaged().MatchString(strings.ToLower(v)) })
}
