# One preset's clients: each prints `NAME: what it said`, all in one line, and
# what a client that is refused says, with its code.
preset=$1
export PATH=$PATH:$GO_TOOLS
work=$(mktemp -d) && cd "$work" && mkdir home && echo own >own

says() {
    printf '%s: ' "$1"
    sh -ec "$2" 2>"$work/said" | tr -s '\n ' ' '
    echo
    sed "s/^/$1 says /" "$work/said" >&2
}
# refused NAME COMMANDS: what it prints, to wherever, and that it failed.
refused() {
    printf '%s: ' "$1"
    sh -ec "$2" >"$work/said" 2>&1 </dev/null && echo "it worked"
    tr -s '\n\t ' ' ' <"$work/said"
    echo
}

case $preset in
npm)
    says install "npm install --silent --no-audit --no-fund --prefix . bottle-hello && node_modules/.bin/bottle-hello"
    mkdir p && echo '{"name": "own", "version": "1.0.0"}' >p/package.json
    refused upload "cd p && npm publish --registry=https://npm.registry.test/ --//npm.registry.test/:_authToken=own"
    ;;
pypi)
    says install "/usr/bin/python3 -m pip install -q --disable-pip-version-check --no-cache-dir --target t bottle-hello && PYTHONPATH=t /usr/bin/python3 -m bottle_hello"
    says download "/usr/bin/python3 -m pip download -q --disable-pip-version-check --no-cache-dir bottle-hello && ls *.whl"
    refused upload "twine upload --disable-progress-bar --repository-url https://pypi.registry.test/legacy/ -u u -p own *.whl"
    ;;
go)
    says install "GOPATH=\$PWD/go GOCACHE=\$PWD/gocache GOFLAGS=-modcacherw go mod download hello.registry.test/hello@v1.0.0 && grep -o 'hello from go' go/pkg/mod/hello.registry.test/hello@v1.0.0/main.go"
    refused upload "curl -sS --fail-with-body -T own https://go.registry.test/hello.registry.test/hello/@v/v1.0.1.zip"
    ;;
crates)
    export CARGO_HOME=$PWD/home RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_SPARSE_REGISTRY=true
    cp "$WORKSPACE/cargo.toml" home/config.toml
    mkdir src && touch src/lib.rs
    printf '[package]\nname = "asks"\nversion = "1.0.0"\nlicense = "MIT"\ndescription = "x"\n[dependencies]\nbottle-hello = "1"\n' >Cargo.toml
    says install "/usr/bin/cargo vendor -q --respect-source-config >&2; cut -c4- vendor/bottle-hello/src/lib.rs"
    printf '[registries.own]\nindex = "sparse+https://crates.registry.test/index/"\n' >home/config.toml
    printf '[package]\nname = "asks"\nversion = "1.0.0"\nlicense = "MIT"\ndescription = "x"\n' >Cargo.toml
    refused upload "/usr/bin/cargo publish --no-verify --allow-dirty --registry own --token own"
    ;;
maven)
    cat >pom.xml <<EOF
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<parent><groupId>test.registry</groupId><artifactId>parent</artifactId><version>1.0.0</version><relativePath/></parent>
<artifactId>asks</artifactId><packaging>pom</packaging>
<build><extensions><extension><groupId>test.registry</groupId><artifactId>bottle-hello</artifactId><version>1.0.0</version></extension></extensions>
<plugins><plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-deploy-plugin</artifactId><version>3.0.0</version></plugin></plugins></build></project>
EOF
    repository="-Dmaven.repo.local=$PWD/m2"
    export MAVEN_OPTS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" # which ends sooner
    says install "mvn -B -q $repository validate >&2; /usr/bin/python3 -m zipfile -e m2/test/registry/bottle-hello/1.0.0/bottle-hello-1.0.0.jar out; cat out/hello"
    refused upload "mvn -B -q $repository deploy:deploy-file -Dfile=pom.xml -DpomFile=pom.xml -DgroupId=test.registry -DartifactId=own -Dversion=1 -Dpackaging=pom -DrepositoryId=own -Durl=https://repo.maven.apache.org/maven2"
    ;;
rubygems)
    says install "gem install -q --no-document --install-dir gems bottle-hello >&2; GEM_PATH=gems ruby -e 'require \"hello\"'"
    refused upload "GEM_HOST_API_KEY=own gem push gems/cache/bottle-hello-1.0.0.gem"
    ;;
debian)
    mkdir -p etc/apt.conf.d etc/preferences.d etc/trusted.gpg.d etc/sources.list.d state/lists/partial cache/archives/partial
    touch status
    echo "deb [trusted=yes] $MIRROR stable main" >etc/sources.list
    here="-o Dir::Etc=$PWD/etc -o Dir::State=$PWD/state -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD/cache -o Debug::NoLocking=1"
    says install "apt-get -q $here update >&2; apt-get -q $here download bottle-hello >&2; dpkg-deb -x bottle-hello_*.deb out; cat out/usr/share/bottle-hello"
    refused upload "curl -sS --fail-with-body -T own $MIRROR/pool/own.deb"
    ;;
github-read)
    says api "curl -fsS https://api.github.com/repos/acme/hello"
    says install "curl -fsSL https://github.com/acme/hello/archive/main.tar.gz | tar xzO"
    refused clone "git clone -q https://github.com/git/hello.git c"
    git init -q r && git -C r -c user.name=x -c user.email=x@registry.test commit -q --allow-empty -m x
    refused upload "git -C r push -q https://github.com/git/hello.git HEAD:own"
    refused post "curl -sS --fail-with-body -d {} https://api.github.com/repos/acme/hello/issues"
    ;;
esac
