# $1: the folder of the leash. Standard input: a pipe that ends when the owner of the leash does.
trap '' HUP INT TERM
while read -r _; do :; done

# The owner is gone. A record is "<process group> <signal that ends it>".
patience=20
for record in "$1"/leash/*; do
    read -r group farewell <"$record" || continue
    kill -s "$farewell" -- "-$group" # the one spelling for groups that every shell takes
    kill -s CONT -- "-$group" # a frozen process acts on nothing but KILL
    while [ "$patience" -gt 0 ] && kill -s 0 -- "-$group"; do
        patience=$((patience - 1))
        sleep 0.1
    done
    kill -s KILL -- "-$group"
done

# Children that made groups of their own still work in the folder.
for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd")" in
    "$1" | "$1"/*) kill -s KILL "${process#/proc/}" ;;
    esac
done

if [ -d "$1/disk" ]; then
    umount -l "$1/disk"
fi

# A dying process may still write a last file: try again for a while.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" && break
    sleep 0.1
done
