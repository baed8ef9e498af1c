# shellcheck shell=sh disable=SC2154 # me: set by the scripts that read this one
# tree.sh - the file tree of a test guest
#
# tree BUILD DIR: fill DIR with busybox, msb-init, curl, the kernel's modules
# and a little /etc.  initramfs packs it as cpio, image as ext4.

die()
{
	echo "$me: $*" >&2
	exit 1
}

tree()
{
	tree_build=$1
	tree_dir=$2
	busybox=$(command -v busybox || echo /bin/busybox)
	[ -x "$busybox" ] || die "no busybox: apt-get install busybox-static"
	[ -f "$tree_build/kernel/modules" ] ||
		die "no $tree_build/kernel: run rootfs/kernel, or make image"

	mkdir -p "$tree_dir"
	(
		cd "$tree_dir"
		mkdir -p bin sbin etc/msb etc/ssl/certs dev proc sys run tmp \
			root usr/bin usr/sbin var/log mnt lib
		chmod 1777 tmp
		chmod 700 root
		ln -sfn ../run var/run
	)
	cp "$busybox" "$tree_dir/bin/busybox"
	# A dynamic busybox would stop at the first exec in the guest
	! readelf -l "$busybox" | grep -q INTERP ||
		die "$busybox is not static: apt-get install busybox-static"
	"$busybox" --list-full | while read -r applet; do
		case $applet in
		sbin/init | linuxrc | bin/busybox) continue ;;
		esac
		[ -e "$tree_dir/$applet" ] || [ -L "$tree_dir/$applet" ] ||
			ln -s /bin/busybox "$tree_dir/$applet"
	done

	if [ -n "${init-}" ]; then
		cp "$init" "$tree_dir/sbin/msb-init"
	else
		[ -f "$tree_build/guest/msb-init" ] ||
			die "no $tree_build/guest/msb-init: run make"
		cp "$tree_build/guest/msb-init" "$tree_dir/sbin/msb-init"
	fi
	chmod 755 "$tree_dir/sbin/msb-init"
	ln -sfn msb-init "$tree_dir/sbin/init"
	[ ! -f "$tree_build/guest/curl" ] ||
		cp "$tree_build/guest/curl" "$tree_dir/usr/bin/curl"

	cp -R "$tree_build/kernel/lib/modules" "$tree_dir/lib/"
	{
		echo "# Loaded by msb-init at boot, in this order"
		cat "$tree_build/kernel/modules"
	} >"$tree_dir/etc/msb/modules"

	cp "$here"/files/*.sh "$tree_dir/etc/msb/"
	chmod 755 "$tree_dir"/etc/msb/*.sh
	cat >"$tree_dir/etc/passwd" <<-'EOF'
	root:x:0:0:root:/root:/bin/sh
	daemon:x:1:1:daemon:/:/bin/false
	guest:x:1000:1000:guest:/tmp:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/false
	EOF
	cat >"$tree_dir/etc/group" <<-'EOF'
	root:x:0:
	daemon:x:1:
	guest:x:1000:
	nogroup:x:65534:
	EOF
	cat >"$tree_dir/etc/profile" <<-'EOF'
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	export PS1='guest:\w# '
	EOF
	echo msb >"$tree_dir/etc/hostname"
	printf 'hosts: files dns\n' >"$tree_dir/etc/nsswitch.conf"
}
