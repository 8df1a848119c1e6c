# To be sourced: take Debian packages and all that they need apart into a folder, without installing them and without
# root.
#
#   debian_start FOLDER [ARCHITECTURE]   empties FOLDER, goes there, reads the package lists
#   debian_suite SUITE                   also offers another suite of Debian, such as bullseye, from the mirror that this
#                                        machine uses or else from DEBIAN_ARCHIVE, an address of Debian's archive
#   debian_backports                     also offers Debian's backports, preferring them
#   debian_candidate PACKAGE             prints the version that would be taken, 0 for none
#   debian_unpack PACKAGE...             downloads them with what they need and unpacks all of it into FOLDER/root
#   debian_finish                        removes what was needed for fetching only, and marks FOLDER as ready

debian_start() {
    local tool
    for tool in apt-get dpkg-deb; do
        if ! command -v "$tool" >/dev/null; then
            echo "No $tool here: this tool is fetched on Debian and its relatives only." >&2
            exit 1
        fi
    done
    export LC_ALL=C
    rm -rf "$1"
    mkdir -p "$1/state/lists/partial" "$1/cache/archives/partial" "$1/root"
    cd "$1"
    # An empty package database: apt then names everything that is needed, not only what this machine lacks.
    touch state/status
    debian_options=(-qq -o "Dir::State=$PWD/state" -o "Dir::State::status=$PWD/state/status" -o "Dir::Cache=$PWD/cache"
        -o Debug::NoLocking=1 -o APT::Sandbox::User= -o Acquire::Retries=3 -o Acquire::Languages=none)
    if [ -n "${2:-}" ]; then
        debian_options+=(-o "APT::Architecture=$2" -o "APT::Architectures=$2")
    fi
    apt-get "${debian_options[@]}" update
}

debian_suite() {
    local codename mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # the mirror that this machine itself uses, however its sources are written
    mirror=$(apt-get "${debian_options[@]}" indextargets --format "\$(ORIGIN) \$(CODENAME) \$(COMPONENT) \$(REPO_URI)" |
        awk -v codename="$codename" '$1 == "Debian" && $2 == codename && $3 == "main" && !seen++ {print $4}')
    if [ -z "$mirror" ]; then
        echo "Debian's $1 is needed, and this system's package sources name no mirror of Debian: run this on Debian." >&2
        return 1
    fi
    if [ ! -f $keyring ]; then keyring=; fi
    debian_options+=(-o "Dir::Etc::sourcelist=$PWD/sources.list")
    if debian_update "${keyring:+[signed-by=$keyring]} $mirror" "$1" 2>suite.log; then return; fi
    # mirrors drop a release some time after its end; the archive keeps it, with lists that are renewed no more
    if [ -n "${DEBIAN_ARCHIVE:-}" ] &&
        debian_update "[${keyring:+signed-by=$keyring }check-valid-until=no] $DEBIAN_ARCHIVE" "$1" 2>>suite.log; then
        return
    fi
    cat suite.log >&2
    echo "$mirror does not offer Debian's $1. Set DEBIAN_ARCHIVE to the address of Debian's archive, which keeps it." >&2
    return 1
}

debian_update() { # OPTIONS AND MIRROR, SUITE
    {
        if [ -f /etc/apt/sources.list ]; then cat /etc/apt/sources.list; fi
        echo "deb $1 $2 main"
    } >sources.list
    # without this mode, apt takes a list that it could not read for an empty one
    apt-get "${debian_options[@]}" -o APT::Update::Error-Mode=any update
}

debian_backports() {
    local suite
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports
    debian_suite "$suite"
    debian_options+=(-o "APT::Default-Release=$suite")
}

debian_candidate() {
    local version
    version=$(apt-cache "${debian_options[@]}" policy "$1" 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
    echo "${version/(none)/0}"
}

debian_unpack() {
    local package
    apt-get "${debian_options[@]}" --no-install-recommends --download-only -y install "$@"
    for package in cache/archives/*.deb; do
        dpkg-deb -x "$package" root
    done
    rm -f cache/archives/*.deb
}

debian_finish() {
    rm -rf state cache sources.list suite.log
    touch ready
}
