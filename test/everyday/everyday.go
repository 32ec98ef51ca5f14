// Package everyday is what people run in a bottle, as scripts: each works under the
// guest's filter of system calls as it does without, or is told no in a way that
// it understands.
package everyday

// Tool is one such script and what it prints.
type Tool struct {
	Name   string
	Needs  string // the program without which it is not tried
	Script string // for sh, in an empty directory
	Want   string
}

// All are the tools. goCache is where Go keeps what it compiled.
func All(goCache string) []Tool {
	return []Tool{
		{"node", "node", `cat >t.js <<'X'
const {Worker, isMainThread, parentPort} = require("worker_threads");
if (!isMainThread) { parentPort.postMessage("worker"); return; }
const http = require("http"), {execFile} = require("child_process"), fs = require("fs");
fs.watch(".", {persistent: false}, () => {});
new Worker(__filename).on("message", (m) => {
  const s = http.createServer((q, r) => r.end("served")).listen(0, "127.0.0.1", () =>
    http.get(s.address(), (r) => r.on("data", (d) => execFile("sh", ["-c", "echo child"], (e, out) => {
      console.log(m, String(d), out.trim(), fs.readFileSync(__filename).length > 100, require("os").networkInterfaces().lo[0].address);
      s.close(); process.exit(e ? 1 : 0);
    }))));
});
X
node t.js`, "worker served child true 127.0.0.1"},
		{"npm", "npm", `mkdir dep app && cd dep && npm init -y >/dev/null && cd ../app && npm init -y >/dev/null &&
			npm install --offline --no-audit --no-fund ../dep >/dev/null && ls node_modules`, "dep"},
		{"python", "python3", `cat >t.py <<'X'
import asyncio, multiprocessing, socket, ssl, subprocess, tempfile
def square(n): return n * n
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    reader, _ = await asyncio.open_connection(*server.sockets[0].getsockname())
    return await reader.read()
if __name__ == "__main__":
    ssl.create_default_context()
    with multiprocessing.Pool(2) as pool: squares = pool.map(square, [2, 3])
    print(squares, asyncio.run(main()), subprocess.check_output(["echo", "child"]).decode().strip())
X
python3 t.py`, "[4, 9] b'' child"},
		{"go", "go", `export GOFLAGS=-mod=mod GOCACHE=` + goCache + ` PATH="$PATH:/usr/local/go/bin" && cat >go.mod <<'X'
module hello
go 1.21
X
cat >main.go <<'X'
package main
import ("fmt"; "net"; "os/exec")
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil { panic(err) }
	go func() { c, _ := l.Accept(); c.Write([]byte("served")); c.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil { panic(err) }
	b := make([]byte, 6); c.Read(b)
	out, err := exec.Command("echo", "child").Output()
	fmt.Print(string(b), " ", string(out))
	if err != nil { panic(err) }
}
X
go build -o hello . && ./hello`, "served child"},
		{"gcc and make", "gcc", `printf 'all:\n\tgcc -O1 -fsanitize=undefined -o t t.c -lpthread && ./t\n' >Makefile && cat >t.c <<'X'
#include <pthread.h>
#include <stdio.h>
static void *run(void *p) { return p; }
int main(void) { pthread_t t; void *r; if (pthread_create(&t, 0, run, "thread") || pthread_join(t, &r)) return 1; puts(r); return 0; }
X
make -s`, "thread"},
		{"java", "java", `java -XX:+UseSerialGC -Xmx64m -version 2>&1 | grep -o 'VM' && java -XX:+UseSerialGC -Xmx64m -version >/dev/null 2>&1 && echo started`, "VM\nstarted"},
		{"git", "git", `export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
			git init -q one && echo x >one/file && git -C one add file && git -C one commit -qm first && git -C one gc -q &&
			git clone -q one two && cat two/file`, "x"},
		{"strace is told no", "strace", `strace true 2>&1 | grep -o 'Operation not permitted' | head -1; echo on`, "Operation not permitted\non"},
		{
			"unshare is told no", "unshare", `unshare -r true 2>&1 | grep -o 'Operation not permitted'; unshare -n true 2>&1 | grep -o 'Operation not permitted'`,
			"Operation not permitted\nOperation not permitted",
		},
		{"bash job control", "script", `cat >jobs.sh <<'X'
set -m
(kill -STOP $BASHPID; echo back) &
until [ "$(jobs -s)" ]; do :; done
fg
X
			script -qec 'bash jobs.sh' /dev/null </dev/null | tail -1 | tr -d '\r'`, "back"},
		{
			"tmux", "tmux", `tmux -S ./socket -f /dev/null new-session -d 'echo inside >out; tmux wait-for -S done; exec cat' &&
			tmux -S ./socket wait-for done && cat out; tmux -S ./socket kill-server`,
			"inside",
		},
	}
}
