# Each client with the placeholder that the bottle has: one line each.
work=$(mktemp -d)
git=https://$GIT_AT/git/hello.git
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=credential.helper
export GIT_CONFIG_VALUE_0='!f() { echo username=me; echo "password=$GIT_TOKEN"; }; f'
export GIT_TERMINAL_PROMPT=0

# try NAME COMMANDS: in a directory of their own, all that they say in one line.
try() {
    mkdir -p "$work/$1" && cd "$work/$1"
    printf '%s: ' "$1"
    sh -ec "$2" 2>"$work/said" | tr -s '\n\t ' ' '
    echo
    sed "s/^/$1 says /" "$work/said" >&2
    echo "$1 took until $SECONDS" >&2
}

# what every image of ours has
try curl "curl -sS --oauth2-bearer \$BEARER https://$BEARER_AT/x"
try curl1 "curl -sS --http1.1 -H \"Authorization: Bearer \$BEARER\" -d a=b https://$BEARER_AT/x"
try wrong "curl -sS -H \"Authorization: Bearer \${BEARER}x\" https://$BEARER_AT/x | sed -n s/^rule://p"
try elsewhere "curl -sS -H \"Authorization: Bearer \$BEARER\" https://$GIT_AT/git/hello.git/HEAD | sed -n s/^rule://p"
try clone "git clone -q $git . && cat hello"
try push "git clone -q $git . && head -c 300000 /dev/urandom >big && cp -r \$WORKSPACE/source . && git add . &&
    git -c user.name=x -c user.email=x@account.test commit -qm big && git push -q origin HEAD:refs/heads/\$(git rev-parse HEAD) &&
    git ls-remote origin | grep -q \$(git rev-parse HEAD) && echo pushed"
try npm "cp -r \$WORKSPACE/source/. . && echo '{\"name\": \"acme-web\", \"version\": \"1.0.0\"}' >package.json &&
    printf 'registry=https://$NPM_AT/\n//$NPM_AT/:_authToken=\${NPM_TOKEN}\nupdate-notifier=false\n' >.npmrc &&
    npm publish 2>&1 | tail -n 1 && npm view acme-web version"
try python "python3 -c \"import os, urllib.request as u
print(u.urlopen(u.Request('https://$BEARER_AT/y', headers={'Authorization': 'Bearer ' + os.environ['BEARER']})).read().decode())\""
[ -n "$ALL" ] || exit 0

# what this machine has
try header 'curl -sS -H "X-Api-Key: $HEADER" https://header.account.test/'
try query 'curl -sS "https://query.account.test/weather?q=x&appid=$QUERY"'
try basic 'curl -sS -u "me:$BASIC" https://basic.account.test/'
try netrc 'printf "machine basic.account.test login me password %s\n" "$BASIC" >~/.netrc; curl -sS -n https://basic.account.test/; rm ~/.netrc'
try any 'curl -sS --anyauth -u "me:$BASIC" https://basic.account.test/'
try gh 'gh api user'
try ghpaths 'gh api repos/acme/web/pulls'
try ghothers 'gh api repos/evil/web 2>&1 | grep -o 403 | sed -n 1p'
try pip '/usr/bin/python3 -m pip download --disable-pip-version-check --no-cache-dir --no-deps -q -d . --index-url "https://me:$PIP_TOKEN@pypi.account.test/simple/" acme && ls'
try twine 'TWINE_USERNAME=__token__ twine upload --non-interactive --disable-progress-bar --repository-url https://upload.account.test/legacy/ $WORKSPACE/acme-1.0-py3-none-any.whl | sed -n 1p'
export XDG_RUNTIME_DIR=$work TMPDIR=$work
try skopeo 'skopeo --tmpdir . copy -q --insecure-policy --dest-creds "me:$IMAGE_TOKEN" dir:$WORKSPACE/image docker://images.account.test/acme/web:1 &&
    skopeo --tmpdir . inspect --creds "me:$IMAGE_TOKEN" docker://images.account.test/acme/web:1 | grep Name'
try aws 'aws dynamodb list-tables --output text'
try s3 'head -c 100000 /dev/zero >zeros && aws s3 cp zeros s3://acme/zeros --no-progress'
