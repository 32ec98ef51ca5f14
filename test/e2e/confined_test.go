package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/internal/confine"
	"claude-bottle/test/engine"
)

// In a bottle the engine's own filter, or gVisor's kernel, is below the
// guest's: every row of the table is refused there too, the kernel says that
// it is so, and what people run works.
func TestConfinedBottles(t *testing.T) {
	engine.Need(t)
	tries := filepath.Join(shared.dir, "tries")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", tries, "claude-bottle/internal/confine")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", shell)
		if err := os.Link(tries, filepath.Join(p.project, "tries")); err != nil {
			t.Fatal(err)
		}
		answers, out, _ := strings.Cut(p.script("CONFINE_TEST_ROLE=try ./tries\n"+strings.ReplaceAll(tools, "\t", ""), "--cwd"), "\n")
		checkTries(t, []byte(answers))
		for _, want := range []string{
			"kernel says Seccomp:\t2", "kernel says NoNewPrivs:\t1",
			"node worker child", "resolved localhost", "npm dep", "npm global 7", "pip wheel 7", "python [4, 9] child", "gcc thread", "git x", "jobs done",
			"script /dev/pts/", "unshare told no", "x32 told no", "i386 told no",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
}

// checkTries holds what the tries of confine's own tests met to the table.
func checkTries(t *testing.T, text []byte) {
	t.Helper()
	var answers []struct {
		Row, Call, Note string
		Errno           syscall.Errno
	}
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	rows, tries := map[string]confine.Row{}, map[string]int{}
	for _, row := range confine.Bottle().Refused {
		rows[row.Name] = row
	}
	for _, got := range answers {
		row, ok := rows[got.Row]
		if !ok {
			continue // allowed by the filter; the engine's may be stricter
		}
		tries[got.Row]++
		if got.Errno != row.Errno {
			t.Errorf("%s: %s %s: %v, want %v", row.Name, got.Call, got.Note, got.Errno, row.Errno)
		}
	}
	if runtime.GOARCH == "amd64" && len(tries) < len(rows) {
		t.Errorf("%d of %d rows tried", len(tries), len(rows))
	}
}

const tools = `
grep -hE '^(Seccomp|NoNewPrivs):' /proc/self/status | sed 's/^/kernel says /'
cd ~ && cat >t.js <<'X'
const {Worker, isMainThread, parentPort} = require("worker_threads");
if (!isMainThread) { parentPort.postMessage("worker"); return; }
new Worker(__filename).on("message", (m) => require("child_process").execFile("echo", ["child"], (e, out) =>
	require("dns").lookup("localhost", (e) => { console.log("node", m, out.trim()); console.log("resolved", e ? e : "localhost"); })));
X
node t.js
mkdir dep app && (cd dep && npm init -y) >/dev/null && cd app && npm init -y >/dev/null &&
npm install --offline --no-audit --no-fund ../dep >/dev/null && echo "npm $(ls node_modules)"
mkdir ~/tool && cd ~/tool && echo '{"name": "sevener", "version": "1.0.0", "bin": {"sevener": "main.js"}}' >package.json &&
printf '#!/usr/bin/env node\nconsole.log("npm global", 3 + 4)\n' >main.js && npm pack --silent >/dev/null &&
npm i -g --offline --no-audit --no-fund ./sevener-1.0.0.tgz >/dev/null && cd / && sevener
cd ~ && cat >wheel.py <<'X'
import zipfile
info = "wheeler-1.0.0.dist-info/"
with zipfile.ZipFile("wheeler-1.0.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("wheeler.py", "def main(): print('pip wheel', 3 + 4)\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: wheeler\nVersion: 1.0.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\nwheeler = wheeler:main\n")
    wheel.writestr(info + "RECORD", "".join(name + ",,\n" for name in wheel.namelist() + [info + "RECORD"]))
X
python3 wheel.py && pip install --quiet --no-index --disable-pip-version-check ./wheeler-1.0.0-py3-none-any.whl && cd / && wheeler
cd ~ && cat >t.py <<'X'
import multiprocessing, subprocess
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool: print("python", pool.map(square, [2, 3]), subprocess.check_output(["echo", "child"]).decode().strip())
X
python3 t.py
cat >t.c <<'X'
#include <pthread.h>
#include <stdio.h>
static void *run(void *p) { return p; }
int main(void) { pthread_t t; void *r; if (pthread_create(&t, 0, run, "thread") || pthread_join(t, &r)) return 1; puts(r); return 0; }
X
gcc -o t t.c -lpthread && echo "gcc $(./t)"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q one && echo x >one/file && git -C one add file && git -C one commit -qm first && git clone -q one two && echo "git $(cat two/file)"
bash -c 'set -m; sleep 0.1 & fg >/dev/null; echo jobs done'
script -qec tty /dev/null </dev/null | sed 's/^/script /'
unshare -r true 2>&1 | grep -q 'Operation not permitted' && echo "unshare told no"
if [ "$(uname -m)" = x86_64 ]; then
cat >f.c <<'X'
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
	if (syscall(0x40000000 | SYS_getpid) == -1 && errno == ENOSYS) { puts("x32 told no"); fflush(stdout); }
	int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return r > 0 ? 0 : 1;
}
X
gcc -o f f.c && { ./f || echo "i386 told no"; }
else echo "x32 told no, i386 told no"; fi
exit 0
`
