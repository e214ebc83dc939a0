// SPDX-License-Identifier: GPL-2.0
/* A kernel live patch: /proc/cmdline says that it is patched. It replaces one
 * function of the running kernel, cmdline_proc_show of fs/proc/cmdline.c. */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static int patched_cmdline_proc_show(struct seq_file *m, void *v)
{
	seq_puts(m, "this kernel has been live patched\n");
	return 0;
}

static struct klp_func funcs[] = {
	{ .old_name = "cmdline_proc_show", .new_func = patched_cmdline_proc_show },
	{ }
};

static struct klp_object objects[] = {
	{ .name = NULL, .funcs = funcs }, /* the kernel itself, no module */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init cmdline_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit cmdline_exit(void) { } /* the kernel takes the patch out first */

module_init(cmdline_init);
module_exit(cmdline_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("says in /proc/cmdline that the kernel is patched");
MODULE_VERSION("1");
MODULE_INFO(livepatch, "Y");
