# The client that is named, as it is: what it prints, and its code.
work=$(mktemp -d) && cd "$work"
web=https://web.registry.test
case $1 in
clone) git clone $web/git/hello.git c ;;
push | carried)
    git init -q r && cd r && head -c 2000000 /dev/urandom >big && git add big
    git -c user.name=x -c user.email=x@registry.test commit -qm big
    git push $web/git/hello.git HEAD:refs/heads/own
    ;;
npm) npm install --no-audit --no-fund --prefix . bottle-hello ;;
pip) /usr/bin/python3 -m pip download --disable-pip-version-check --no-cache-dir bottle-hello ;;
curl) head -c 2000000 /dev/zero | curl -sS --fail-with-body --data-binary @- $web/count ;;
esac
