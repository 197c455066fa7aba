/// x
#[macro_export]
macro_rules! select {
    (biased; $($arms:tt)*) => {
        $crate::__select! { @list {taken guards} {InTurn} [] [] (0) ($crate::__private::select::Nil) [] $($arms)* }
    };
    ($($arms:tt)*) => {
        $crate::__select! { @list {taken guards} {Shuffled} [] [] (0) ($crate::__private::select::Nil) [] $($arms)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // The end of the list.
    (@list $names:tt $order:tt $default:tt $else:tt $count:tt $list:tt []) => {
        ::core::compile_error!("`select!` without an arm has nothing to wait for; an arm is `pattern = future => handler`")
    };
    (@list $names:tt $order:tt [] [] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run $count $list $arms
            [$crate::__private::select::Taken::Else => $crate::__private::select::all_disabled(),]
        }
    };
    (@list $names:tt $order:tt [] [$else:tt] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run $count $list $arms [$crate::__private::select::Taken::Else => $else,]
        }
    };
    (@list $names:tt $order:tt [$default:tt] [] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run_now $count $list $arms
            [$crate::__private::select::Taken::Default | $crate::__private::select::Taken::Else => $default,]
        }
    };
    (@list $names:tt $order:tt [$default:tt] [$else:tt] $count:tt $list:tt $arms:tt) => {
        $crate::__select! {
            @run $names $order run_now $count $list $arms
            [
                $crate::__private::select::Taken::Default => $default,
                $crate::__private::select::Taken::Else => $else,
            ]
        }
    };

    // `default` and `else`, each once.
    (@list $names:tt $order:tt [] $else:tt $count:tt $list:tt $arms:tt default => $($rest:tt)+) => {
        $crate::__select! { @default $names $order $else $count $list $arms $($rest)+ }
    };
    (@list $names:tt $order:tt $default:tt [] $count:tt $list:tt $arms:tt else => $($rest:tt)+) => {
        $crate::__select! { @else $names $order $default $count $list $arms $($rest)+ }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:block, $($rest:tt)*) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($rest)* }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:block $($rest:tt)*) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($rest)* }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order [$handler] $else $count $list $arms $($($rest)*)? }
    };
    (@default $names:tt $order:tt $else:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { [] $else default => $($rest)* }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:block, $($rest:tt)*) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($rest)* }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:block $($rest:tt)*) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($rest)* }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $handler:expr $(, $($rest:tt)*)?) => {
        $crate::__select! { @list $names $order $default [$handler] $count $list $arms $($($rest)*)? }
    };
    (@else $names:tt $order:tt $default:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { $default [] else => $($rest)* }
    };

    // An arm.
    (
        @list {$taken:ident $guards:ident} $order:tt [] [] $count:tt $list:tt [$({ $path:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:block, $($rest:tt)*
    ) => {
        $crate::__select! {
            @list {$taken $guards} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({ ($crate::__private::select::Out::Rest $path) $arm $guard $body })*
                { ($crate::__private::select::Out::This($pattern)) $count [$($condition)?] $handler }
            ]
            $($rest)*
        }
    };
    (
        @list {$taken:ident $guards:ident} $order:tt [] [] $count:tt $list:tt [$({ $path:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:block $($rest:tt)*
    ) => {
        $crate::__select! {
            @list {$taken $guards} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({ ($crate::__private::select::Out::Rest $path) $arm $guard $body })*
                { ($crate::__private::select::Out::This($pattern)) $count [$($condition)?] $handler }
            ]
            $($rest)*
        }
    };
    (
        @list {$taken:ident $guards:ident} $order:tt [] [] $count:tt $list:tt [$({ $path:tt $arm:tt $guard:tt $body:tt })*]
        $pattern:pat = $future:expr $(, if $condition:expr)? => $handler:expr $(, $($rest:tt)*)?
    ) => {
        $crate::__select! {
            @list {$taken $guards} $order [] [] ($count + 1)
            (
                $crate::__private::select::And::new(
                    $list, $crate::__select!(@arm $guards $count [$($condition)?] $future)
                )
            )
            [
                $({ ($crate::__private::select::Out::Rest $path) $arm $guard $body })*
                { ($crate::__private::select::Out::This($pattern)) $count [$($condition)?] $handler }
            ]
            $($($rest)*)?
        }
    };

    // None of these.
    (@list $names:tt $order:tt $default:tt $else:tt $count:tt $list:tt $arms:tt $($rest:tt)*) => {
        $crate::__private::select::mistake! { $default $else $($rest)* }
    };

    // An arm in the list, without and with a guard.
    (@arm $guards:ident $count:tt [] $future:expr) => {
        ::std::option::Option::Some($crate::__private::select::awaited($future).arm())
    };
    (@arm $guards:ident $count:tt [$condition:tt] $future:expr) => {
        if $guards & (1 << $count) != 0 {
            ::std::option::Option::Some($crate::__private::select::awaited($future).arm())
        } else {
            ::std::option::Option::None
        }
    };

    // All of it.
    (
        @run {$taken:ident $guards:ident} {$order:ident} $run:ident $count:tt $list:tt
        [$({ $path:tt $arm:tt [$($guard:tt)?] $handler:tt })*] [$($others:tt)*]
    ) => {{
        #[allow(unused_imports)]
        use $crate::__private::select::AnyFuture as _;
        const _: () = ::std::assert!($count <= $crate::__private::select::MOST, "`select!` takes at most 64 arms");
        let $guards = 0u64 $($(| if $guard { 1 << $arm } else { 0 })?)*;
        let _ = $guards;
        let $taken = $crate::__private::select::Select::<_, $crate::__private::select::$order<{ $count }>>::new$list
            .$run(|mut $taken| {
                let mut $guards = false;
                #[allow(unused_variables, unused_mut, unreachable_patterns)]
                match $taken {
                    $($path if { $guards = true; false } => $crate::__private::select::not_taken(),)*
                    _ => {}
                }
                if $guards { ::std::option::Option::Some($taken) } else { ::std::option::Option::None }
            })
            .await;
        #[allow(unused_mut)]
        let mut $taken = $taken;
        match $taken {
            $($crate::__private::select::Taken::Arm $path => $handler,)*
            $($others)*
            #[allow(unreachable_patterns)]
            _ => $crate::__private::select::not_taken(),
        }
    }};
}
