# Each client, by the proxy variables and without them: one line each.
export PATH=$GO_TOOLS:$PATH:$PWD
web=https://web.registry.test
work=$(mktemp -d)

# try NAME COMMANDS: in a directory of their own, all that they say in one line.
try() {
    mkdir -p "$work/$way/$1" && cd "$work/$way/$1"
    printf '%s %s: ' "$1" "$way"
    sh -ec "$2" 2>"$work/said" | tr -s '\n ' ' '
    echo
    sed "s/^/$1 $way says /" "$work/said" >&2
    echo "$1 $way took until $SECONDS" >&2
}

# every client of this file.
clients() {
    try curl "curl -sS $web/hello"
    try curl1 "curl -sS --http1.1 $web/hello"
    try upload "head -c 3000000 /dev/zero | curl -sS --data-binary @- $web/count"
    try wget "wget -qO- $web/hello"
    try git "git clone -q $web/git/hello.git . && cat hello"
    # Above http.postBuffer, where git before 2.44 may hang over HTTP/2.
    try push "git clone -q $web/git/hello.git . && head -c 2000000 /dev/urandom >big && git add big &&
        git -c user.name=x -c user.email=x@registry.test commit -qm big &&
        git push -q origin HEAD:refs/heads/$way-\$(git rev-parse HEAD) && echo pushed"
    try node "node -e 'fetch(\"$web/hello\").then(r => r.text()).then(t => process.stdout.write(t))'"
    try npm "npm install --silent --no-audit --no-fund --prefix . bottle-hello && node_modules/.bin/bottle-hello"
    try pip "/usr/bin/python3 -m pip install -q --disable-pip-version-check --no-cache-dir --target . bottle-hello && /usr/bin/python3 -m bottle_hello"
    try apt "$apt"
    try go "GOPATH=\$PWD GOCACHE=\$WORKSPACE/gocache GOFLAGS=-modcacherw go install hello.registry.test/hello@v1.0.0 && bin/hello 2>&1"
    try goprogram "\$WORKSPACE/talk web.registry.test"
    try cargo "$cargo"
    try deno "deno eval 'process.stdout.write(await (await fetch(\"$web/hello\")).text())'"
    try java "java -cp \$WORKSPACE Hello $web/hello"
    try grpc "/usr/bin/python3 -B \$WORKSPACE/grpcecho.py call grpc.registry.test:443"
}

# apt works in directories of its own: who runs it here is nobody special.
apt='
mkdir -p etc/apt.conf.d etc/preferences.d etc/trusted.gpg.d etc/sources.list.d state/lists/partial cache/archives/partial
touch status
echo "deb [trusted=yes] https://deb.registry.test/ stable main" >etc/sources.list
here="-o Dir::Etc=$PWD/etc -o Dir::State=$PWD/state -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD/cache -o Debug::NoLocking=1"
apt-get -q $here update >&2
apt-get -q $here download bottle-hello >&2
dpkg-deb -x bottle-hello_*.deb . && cat usr/share/bottle-hello'

# cargo as Debian has it is asked to speak to an index as later ones do; who
# vendors needs no compiler.
cargo='
export CARGO_HOME=$PWD/home RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_SPARSE_REGISTRY=true
mkdir -p src home
cp $WORKSPACE/cargo.toml home/config.toml
printf "[package]\nname = \"asks\"\nversion = \"1.0.0\"\n[dependencies]\nbottle-hello = \"1\"\n" >Cargo.toml
touch src/lib.rs
/usr/bin/cargo vendor -q --respect-source-config >&2
cut -c4- vendor/bottle-hello/src/lib.rs'

export WORKSPACE=$PWD
way=proxy
clients
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY
way=plain
clients
