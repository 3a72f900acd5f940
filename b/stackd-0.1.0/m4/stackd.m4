dnl SPDX-License-Identifier: BSD-3-Clause

dnl STACKD_C11
dnl GNU C11 in every compilation, whatever flags a target sets for itself.
AC_DEFUN([STACKD_C11],
[AC_CACHE_CHECK([whether $CC accepts -std=gnu11], [stackd_cv_gnu11],
	[stackd_saved_CC=$CC
	 CC="$CC -std=gnu11"
	 AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <stdatomic.h>]],
		[[static _Atomic int n; _Static_assert(sizeof(n) == 4, "int"); return atomic_load(&n);]])],
		[stackd_cv_gnu11=yes], [stackd_cv_gnu11=no])
	 CC=$stackd_saved_CC])
AS_IF([test "$stackd_cv_gnu11" = yes], [CC="$CC -std=gnu11"], [AC_MSG_ERROR([a C11 compiler is needed])])])

dnl STACKD_WARNINGS
dnl Sets WARN_CFLAGS; --enable-werror makes errors of warnings.
AC_DEFUN([STACKD_WARNINGS],
[AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [stop at warnings])], [], [enable_werror=no])
WARN_CFLAGS="-Wall -Wextra"
AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])])

dnl STACKD_SANITIZE
dnl --enable-sanitize=LIST goes to the compiler and the linker as -fsanitize=LIST.
AC_DEFUN([STACKD_SANITIZE],
[AC_ARG_ENABLE([sanitize],
	[AS_HELP_STRING([--enable-sanitize=LIST], [address,undefined or thread])], [], [enable_sanitize=no])
AS_CASE([$enable_sanitize], [yes], [enable_sanitize=address,undefined])
AS_IF([test "x$enable_sanitize" != xno],
	[CFLAGS="$CFLAGS -fsanitize=$enable_sanitize -fno-sanitize-recover=all -fno-omit-frame-pointer"
	 LDFLAGS="$LDFLAGS -fsanitize=$enable_sanitize"
	 AC_MSG_CHECKING([whether $CC can use -fsanitize=$enable_sanitize])
	 AC_LINK_IFELSE([AC_LANG_PROGRAM()], [AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([the compiler knows no -fsanitize=$enable_sanitize, or its library is not installed])])])
AM_CONDITIONAL([SANITIZE], [test "x$enable_sanitize" != xno])])

dnl STACKD_SYSTEM_HEADERS(VARIABLE)
dnl Warnings of other people's headers are not ours: -I becomes -isystem.
AC_DEFUN([STACKD_SYSTEM_HEADERS],
[$1=`AS_ECHO(["$$1"]) | $SED 's/\(^\| \)-I/\1-isystem /g'`])
